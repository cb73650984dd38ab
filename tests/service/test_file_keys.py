"""Master keys by file on a machine in the background: loaded once, from then on kept."""

from support.running import KEYS

PARTS = """
[[master_key]]
adapters = 5
domains = 4
set = "AES"
parts = ["one", "other"]
"""
SECRETS = {"one": bytes(range(32)), "other": bytes(range(100, 132))}


def prepare(site):
    site.file.write_text(KEYS.replace("[[lpar]]", f"{PARTS}[[lpar]]"))
    for name, part in SECRETS.items():
        path = site.file.with_name(name)
        path.write_bytes(part)
        path.chmod(0o600)


def test_a_part_that_others_can_read_starts_nothing(site):
    prepare(site)
    site.file.with_name("other").chmod(0o644)
    for words in (("up", site.file), ("run", site.file, "--", "true")):
        refused = site.run(*words, code=2)
        assert "keys.toml:18: master_key[0].parts[1]: " in refused.stderr
        assert "other users can read or write this key part: chmod 600" in refused.stderr
    assert site.run("status", code=0).stdout == "keys  stopped\n"
    assert site.run("show", site.file).stderr == ""  # who only looks needs no key


def test_keys_of_the_file_are_kept_and_changed_as_others(site, tmp_path):
    prepare(site)
    site.up()
    first = site.states("show")
    assert [first[name]["state"] for name in ("new", "current", "old")] == ["empty", "valid", "invalid"]
    site.kill()
    for name in SECRETS:
        site.file.with_name(name).unlink()
    site.up()
    assert site.states("show") == first
    changed = site.change_key()
    assert changed["old"] == first["current"]
    site.run("down", "keys")
    site.up()
    assert site.states("show") == changed
    kept = b"".join(path.read_bytes() for path in site.state.rglob("*") if path.is_file())
    for part in SECRETS.values():
        assert part not in kept
        assert part.hex().encode() not in kept
