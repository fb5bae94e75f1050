"""Runs a command against a server: `python -m support.serve COMMAND...`; {authority} stands for its host and port, {pid}
for its process. Exits as the command does, or with 1 when the server does not stop in order."""

import subprocess
import sys

from .process import Server


def main(command):
    server = Server()
    try:
        values = {"authority": server.authority, "pid": str(server.pid)}
        for name, value in values.items():
            command = [word.replace(f"{{{name}}}", value) for word in command]
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        server.stop()
        return code
    finally:
        server.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
