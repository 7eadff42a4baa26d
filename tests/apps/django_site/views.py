import hashlib

from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import render


def upload(request):
    """A form with a file, and what arrived."""
    if request.method == "GET":
        return render(request, "upload.html")
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    kind = type(file).__name__
    return JsonResponse({"name": file.name, "size": file.size, "sha256": digest.hexdigest(), "kind": kind})


def visits(request):
    """Counts the visits of one browser."""
    count = request.session.get("visits", 0) + 1
    request.session["visits"] = count
    return JsonResponse({"visits": count})


def stream(request):
    """A response without a length."""
    return StreamingHttpResponse((f"row {number}\n" for number in range(2000)), content_type="text/plain")


def where(request):
    """What Django takes itself to be reached by."""
    return JsonResponse(
        {"secure": request.is_secure(), "uri": request.build_absolute_uri(), "ip": request.META["REMOTE_ADDR"]}
    )
