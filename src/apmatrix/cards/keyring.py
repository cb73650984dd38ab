"""All master keys of one card, kept in its store."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from apmatrix.cards.masterkeys import KeyRegisters, from_record, to_record
from apmatrix.cards.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.arch import KeySet, Mask
    from apmatrix.cards.masterkeys import MasterKey
    from apmatrix.cards.vault import Store


class Keyring:
    """The registers of each domain of a card. A change is in the store before it can be used.

    ``name`` is the card's in the store. VaultError if the store holds something else there.
    """

    def __init__(self, name: str, store: Store) -> None:
        self._name = name
        self._store = store
        self._lock = threading.Lock()  # one change at a time; reading needs no lock, as contents are replaced
        content = store.read(name)
        try:
            self._domains = {} if content is None else from_record(json.loads(content))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise VaultError(f"the stored keys of {name} are damaged; restore them from a backup") from None

    def __repr__(self) -> str:
        return f"<Keyring {self._name}>"

    def registers(self, domain: int, key_set: KeySet) -> KeyRegisters:
        """The registers of ``key_set`` in ``domain``; empty if nothing has been loaded."""
        found = self._domains.get(domain, {}).get(key_set)
        return KeyRegisters(key_set) if found is None else found

    def change(
        self, domain: int, key_set: KeySet, transition: Callable[[KeyRegisters], KeyRegisters]
    ) -> KeyRegisters:
        """Apply ``transition`` and store the result; MasterKeyError if it refuses, VaultError if storing fails."""
        with self._lock:
            before = self.registers(domain, key_set)
            changed = transition(before)
            if changed != before:
                self._keep({**self._domains, domain: {**self._domains.get(domain, {}), key_set: changed}})
            return changed

    def give(self, keys: Mapping[tuple[int, KeySet], MasterKey]) -> None:
        """Make each key the current one of its domain and set where the registers are empty, all in one write.

        VaultError as for :meth:`change`.
        """
        with self._lock:
            domains = {number: dict(sets) for number, sets in self._domains.items()}
            for (domain, key_set), key in keys.items():
                domains.setdefault(domain, {})[key_set] = self.registers(domain, key_set).given(key)
            if domains != self._domains:
                self._keep(domains)

    def zeroize(self, domain: int) -> None:
        """Forget the keys of one domain; VaultError as for :meth:`change`."""
        with self._lock:
            self._keep({number: sets for number, sets in self._domains.items() if number != domain})

    def zeroize_card(self, allowed: Mask) -> bool:
        """Forget all keys; False, without a change, if a domain that is not ``allowed`` has some."""
        with self._lock:
            if not self.within(allowed):
                return False
            self._keep({})
            return True

    def within(self, domains: Mask) -> bool:
        """True if no domain outside ``domains`` has keys."""
        return all(
            domain in domains or all(registers.empty for registers in sets.values())
            for domain, sets in self._domains.items()
        )

    def _keep(self, domains: dict[int, dict[KeySet, KeyRegisters]]) -> None:
        self._store.write(self._name, json.dumps(to_record(domains)).encode())
        self._domains = domains
