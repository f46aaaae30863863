# Follows with Python's standard library: python3 follow.py URL…
# The client is the function follow; the rest prints what it yields.
import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.request


def follow(url, last="beginning"):
    """Yields (event, id, data) of each message, for ever. The position goes into ?after=; a cursor needs no escapes."""
    while True:
        try:
            request = urllib.request.Request(f"{url}&after={last}", headers={"Accept": "text/event-stream"})
            with urllib.request.urlopen(request, timeout=TIMEOUT) as stream:  # longer than the heartbeat
                event, id, data = "", "", []
                for line in stream:  # a last line that was cut has no line feed
                    name, _, value = line.decode().rstrip("\n").partition(":")
                    value = value.removeprefix(" ")
                    if name == "event":
                        event = value
                    elif name == "id":
                        id = value
                    elif name == "data":
                        data.append(value)
                    elif line == b"\n":
                        if data:
                            yield event, id, "\n".join(data)
                            last = id or last
                        event, id, data = "", "", []
        except (OSError, http.client.HTTPException) as error:
            yield "#error", "", str(error)
        time.sleep(random.uniform(0.1, 0.3))


TIMEOUT = int(os.environ.get("E2E_READ_TIMEOUT", "45000")) / 1000
lock = threading.Lock()


def report(n, url):
    for event, id, data in follow(url):
        with lock:
            print(json.dumps({"n": n, "event": event, "id": id, "data": data}), flush=True)


for n, url in enumerate(url.replace("after=beginning&", "") for url in sys.argv[1:]):
    threading.Thread(target=report, args=(n, url), daemon=True).start()
sys.stdin.read()  # its end ends the program
