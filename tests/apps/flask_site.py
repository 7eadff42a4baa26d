"""A Flask application as people write them."""

import hashlib
import os

from flask import Flask, jsonify, redirect, render_template_string, request, send_file, session, url_for

app = Flask(__name__)
app.secret_key = "only for tests"

FORM = """<form method="post" action="{{ url_for('greet') }}"><input name="name"></form>"""


@app.get("/")
def form():
    return render_template_string(FORM)


@app.post("/greet")
def greet():
    session["name"] = request.form["name"]
    return redirect(url_for("hello", name=request.form["name"]))


@app.get("/hello/<name>")
def hello(name):
    return {"hello": name, "session": session.get("name"), "host": request.host_url, "path": request.full_path}


@app.get("/absolute")
def absolute():
    return redirect(url_for("form", _external=True))


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return jsonify(
        name=file.filename, size=len(data), sha256=hashlib.sha256(data).hexdigest(), note=request.form["note"]
    )


@app.get("/stream")
def stream():
    def rows():
        for number in range(1000):
            yield f"{number},{number * number}\n"

    return app.response_class(rows(), mimetype="text/csv")


@app.get("/file")
def file():
    answer = send_file(os.environ["FLASK_FILE"], conditional=True)
    answer.headers["X-Body"] = type(answer.response).__module__
    return answer


@app.get("/fails")
def fails():
    raise RuntimeError("a view has failed")
