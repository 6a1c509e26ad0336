"""A real LDAP server on the loopback interface, with a few people in it."""
from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from ports import free_port

SCHEMAS = Path("/etc/ldap/schema")
MODULES = next((p for p in (Path("/usr/lib/ldap"), Path("/usr/lib/openldap")) if p.is_dir()), Path("/usr/lib/ldap"))
PEOPLE = """dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: uid=vera,dc=example,dc=org
objectClass: inetOrgPerson
uid: vera
cn: Vera
sn: V
userPassword: secret-of-vera

dn: uid=otto,dc=example,dc=org
objectClass: inetOrgPerson
uid: otto
cn: Otto
sn: O
userPassword: secret-of-otto

dn: cn=cloud,dc=example,dc=org
objectClass: groupOfNames
cn: cloud
member: uid=vera,dc=example,dc=org
"""


def program() -> str | None:
    """slapd, None when it is not installed."""
    return shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/bin") if SCHEMAS.is_dir() else None


class Slapd:
    """One server."""

    def __init__(self, root: Path) -> None:
        self.port, self._root = free_port(), root
        self.url = f"ldap://127.0.0.1:{self.port}"
        (root / "data").mkdir()
        includes = "\n".join(f"include {SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson"))
        (root / "slapd.conf").write_text(
            f"{includes}\nmodulepath {MODULES}\nmoduleload back_mdb\npidfile {root}/pid\n"
            f'database mdb\nsuffix "dc=example,dc=org"\nrootdn "cn=admin,dc=example,dc=org"\nrootpw admin\n'
            f"directory {root}/data\naccess to attrs=userPassword by anonymous auth by * none\n"
            "access to * by dn.exact=\"uid=otto,dc=example,dc=org\" read by anonymous auth by * none\n")
        (root / "people.ldif").write_text(PEOPLE)
        subprocess.run([self._tool("slapadd"), "-f", str(root / "slapd.conf"), "-l", str(root / "people.ldif")],
                       check=True, capture_output=True)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _tool(name: str) -> str:
        return str(Path(str(program())).with_name(name))

    def start(self) -> Slapd:
        """Until it answers."""
        self._process = subprocess.Popen([str(program()), "-f", str(self._root / "slapd.conf"), "-h", self.url,
                                          "-d", "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(1200):
            assert self._process.poll() is None, "slapd ended"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("slapd does not answer")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None
