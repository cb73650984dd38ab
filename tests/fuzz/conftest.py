def pytest_addoption(parser):
    parser.addoption("--fuzz-seconds", type=float, default=2.0, help="how long each fuzz test runs (default: 2)")
    parser.addoption("--fuzz-seed", type=int, default=None, help="repeat a fuzz run that failed")
