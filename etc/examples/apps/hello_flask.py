"""The Flask app of the examples."""

from flask import Flask, url_for

app = Flask(__name__)


@app.get("/")
def home():
    return f'Hello from Flask. <a href="{url_for("greet", name="you")}">And you?</a>'


@app.get("/hello/<name>")
def greet(name):
    return f"Hello, {name}!"
