-- What wrk sends: requests like a browser's, about 600 bytes of head, each with its own URL, cookies and referer.
--
-- Started by bench/measure.py:  wrk … URL -- METHOD TEMPLATE COUNT BODY VARIANTS
-- {n} in TEMPLATE counts through 0 … COUNT-1; BODY is the length of the request body. All VARIANTS are built before
-- the clock starts, more of them than a bounded memo of whole heads would keep, and are sent in turn.

local requests, size, at = {}, 0, 0

local function hex(seed, length)
  local digits, state = {}, seed * 2654435761 % 4294967296
  for i = 1, length do
    state = (state * 1103515245 + 12345) % 2147483648
    local nibble = math.floor(state / 65536) % 16
    digits[i] = string.sub("0123456789abcdef", nibble + 1, nibble + 1)
  end
  return table.concat(digits)
end

function init(args)
  local method, template, count = args[1], args[2], tonumber(args[3])
  local length, variants = tonumber(args[4]), tonumber(args[5])
  local body = nil
  wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
  wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
  wrk.headers["Accept-Language"] = "en-US,en;q=0.5"
  wrk.headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
  wrk.headers["Sec-Fetch-Dest"] = "document"
  wrk.headers["Sec-Fetch-Mode"] = "navigate"
  wrk.headers["Sec-Fetch-Site"] = "same-origin"
  wrk.headers["Cache-Control"] = "max-age=0"
  if length > 0 then
    body = string.rep("x", length)
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  for i = 0, variants - 1 do
    wrk.headers["Cookie"] = "sessionid=" .. hex(i, 32) .. "; csrftoken=" .. hex(i + 7919, 32) .. "; _ga=GA1.1." .. hex(i + 104729, 10)
    wrk.headers["Referer"] = "https://example.com/catalog/items?page=" .. (i % 977)
    local path = string.gsub(template, "{n}", tostring(i % count))
    requests[i] = wrk.format(method, path, nil, body)
  end
  size = variants
end

function request()
  at = at + 1
  if at == size then at = 0 end
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'bench {"requests": %d, "bytes": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, '
      .. '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
