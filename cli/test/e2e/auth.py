#!/usr/bin/env -S python3 -B
"""Images behind a login: Basic and tokens, with docker-registry's own checks.

    auth.py CONTRAST

Credentials stand where `docker login` puts them: in config.json, as user and password, as identity
token, or behind a credential helper. No message, file or request to anybody else has them in it.
SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import sys

import hub as hubs
import stage

IMAGE = "private.example.com/shop/web:1.2"
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  runtimeClassName: contrast-cc
  containers:
    - name: web
      image: private.example.com/shop/web:1.2
"""
HELPER = """\
#!/bin/sh
read -r server
echo "$server" >>"{log}"
[ "$1" = get ] || exit 1
{answer}
"""


def plain_auth(password=hubs.PASSWORD):
    pair = base64.b64encode(f"{hubs.USER}:{password}".encode()).decode()
    return {"auth": pair}


class Login:
    """One registry with one kind of login, and the ways to log in."""

    def __init__(self, test, name, hub, headers):
        self.test, self.name = test, name
        self.host = f"127.0.0.1:{hub.port}"
        coordinator = stage.image_names(stage.COORDINATOR)
        for reference in [IMAGE] + coordinator + test.own_images():
            host, path, _ = stage.split_reference(reference)
            test.stand_in(reference, headers(f"{host}/{path}"))

    def config(self, content):
        stage.write(self.test.path("docker", "config.json"), json.dumps(content))

    def helper(self, answer):
        """A program docker-credential-e2e in a folder of PATH; returns the environment."""
        folder = self.test.path("bin")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "docker-credential-e2e")
        stage.write(path, HELPER.format(log=self.test.path("helper.log"), answer=answer))
        os.chmod(path, 0o755)
        return {"PATH": folder + ":" + self.test.env["PATH"]}

    def run(self, what, env=None):
        work = self.test.workspace(f"{self.name}-{what}".replace(" ", "_"))
        stage.write(os.path.join(work, "web.yaml"), POD)
        done = self.test.generate(work, "--no-cache", "web.yaml", "coordinator.yaml", env=env)
        secrets = [hubs.PASSWORD, "wrong one", plain_auth()["auth"], hubs.TokenServer.IDENTITY]
        self.test.check(not any(s in done.err or s in done.text() for s in secrets),
                        f"{self.name}: {what}: a secret in the output", done.err)
        return done, work

    def good(self, what, env=None):
        done, work = self.run(what, env)
        self.test.check(done.code == 0, f"{self.name}: {what}", done.err)
        text = stage.read(os.path.join(work, "web.yaml"))
        self.test.check(b"web:1.2@sha256:" in text, f"{self.name}: {what}: the pin", text)

    def bad(self, what, *words, env=None):
        done, work = self.run(what, env)
        self.test.check(done.code in (1, 2), f"{self.name}: {what}: exit {done.code}", done.err)
        for word in words:
            self.test.check(word in done.err, f"{self.name}: {what}: the message has '{word}'",
                            done.err)
        self.test.check(stage.read(os.path.join(work, "web.yaml")).decode() == POD,
                        f"{self.name}: {what}: nothing is written")
        print(f"  {self.name}, {what}: {done.err.strip().splitlines()[-1][:300]}")


def both(login):
    """What holds for every kind of login."""
    login.config({})
    login.bad("nobody is logged in", "web.yaml:", "docker login " + login.host)
    login.config({"auths": {login.host: plain_auth("wrong one")}})
    login.bad("wrong password", "web.yaml:", login.host)
    login.config({"auths": {login.host: plain_auth()}})
    login.good("user and password")
    login.config({"auths": {"https://other.example.com": plain_auth()}})
    login.bad("logged in elsewhere", "docker login")
    answer = json.dumps({"ServerURL": "%s", "Username": hubs.USER, "Secret": hubs.PASSWORD})
    answer = f'''printf '{answer}' "$server"'''
    env = login.helper(answer)
    login.config({"credHelpers": {login.host: "e2e"}})
    login.good("a helper", env)
    login.config({"credsStore": "e2e"})
    login.good("a store", env)
    login.test.check(login.host in stage.read(login.test.path("helper.log")).decode(),
                     f"{login.name}: the helper was asked")
    login.config({"credHelpers": {login.host: "e2e"}})
    login.bad("a helper that fails", "e2e", env=login.helper("echo no such secret; exit 1"))
    login.bad("a helper that talks nonsense", "e2e", env=login.helper("echo '<html>'"))
    login.config({"credHelpers": {login.host: "absent"}})
    login.bad("no such helper", "docker-credential-absent")
    stage.write(login.test.path("docker", "config.json"), "{")
    login.bad("a broken config.json", "config.json")


def with_basic(test):
    hub = test.hub(hubs.hub_htpasswd(test.folder))
    both(Login(test, "basic", hub, lambda _: {"Authorization": hubs.basic()}))


def with_tokens(test):
    tokens = test.open.enter_context(hubs.TokenServer(test.folder))
    hub = test.hub(tokens.auth())

    def headers(name):
        return {"Authorization": "Bearer " + tokens.token([f"repository:{name}:pull,push"])}
    login = Login(test, "token", hub, headers)
    both(login)
    tokens.asked.clear()
    login.config({"auths": {login.host: {"identitytoken": tokens.IDENTITY}}})
    login.good("an identity token")
    test.check(any(how == "identity" for how, _, _ in tokens.asked), "it was posted", tokens.asked)
    scopes = [s for _, _, scopes in tokens.asked for s in scopes]
    test.check(scopes and all(s.endswith(":pull") for s in scopes), "only pull is asked for",
               scopes)
    login.config({"auths": {login.host: {"identitytoken": "an old one"}}})
    login.bad("a token that expired", login.host)
    login.config({"auths": {login.host: {
        "registrytoken": tokens.token(["repository:private.example.com/shop/web:pull"])}}})
    login.bad("a token for one repository", "contrast-ha")


def main():
    with stage.Stage("auth") as test:
        with_basic(test)
        test.hosts.clear()
        test.digests.clear()
        with_tokens(test)
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
