

def _tell(past: Any, exc: BaseException) -> None:
    names = {}
    for kind in KINDS:
        for n in range(POOL):
            names[past.pool[kind][n].bytes] = f"{kind}{n}"

    def nm(key: Any) -> str:
        return names.get(key, key.hex()[-6:] if key else "-")

    def st(row: Any) -> str:
        if not row:
            return "none"
        return (
            ("A" if row["is_active"] else "d")
            + "("
            + ",".join(nm(bytes_of(row.get(f"{k}_guid"))) for k in KINDS if f"{k}_guid" in row)
            + ")"
            + str({k: row[k] for k in ("piece_id", "picture", "barcode", "designation", "trolley") if k in row})
        )

    for i, done in enumerate(past.done):
        u = f" undoes #{past.done.index(done.undoes)}" if done.undoes else ""
        print(f"#{i} run {done.run and done.run[-6:]}{u}")
        for key in done.after:
            print("    ", nm(key), st(done.before[key]), "->", st(done.after[key]))


_do = Past.do


def do(self: Any, name: str, what: Any) -> None:
    try:
        _do(self, name, what)
    except BaseException as exc:
        print("FAILED AT", name, what)
        self.look("failed")
        _tell(self, exc)
        raise


Past.do = do  # type: ignore
_check = Past.check


def check(self: Any) -> None:
    try:
        _check(self)
    except BaseException as exc:
        _tell(self, exc)
        raise


Past.check = check  # type: ignore
