"""Scripts that end by SIGKILL after so many steps, which are their first word.

A step ends before each file that takes its name (unless `files` is False), before each push, after each request
that changes something, and after what `ends` names. Steps count from `begin()`.
"""

from __future__ import annotations

KILLS = """\
import os, signal, sys
import httpx

left, files = None, True

def begin():
    global left
    left = int(sys.argv[1])

def step():
    global left
    if left is not None:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def ends(owner, name, counts=lambda answer: True):
    real = getattr(owner, name)

    def changed(*words, **more):
        answer = real(*words, **more)
        if counts(answer):
            step()
        return answer

    setattr(owner, name, changed)

def hear(event, words):
    if (files and event == "os.rename") or (event == "subprocess.Popen" and "push" in words[1]):
        step()

sys.addaudithook(hear)
ends(httpx.Client, "send", lambda answer: answer.request.method != "GET")
"""
