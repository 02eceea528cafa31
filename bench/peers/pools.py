"""Python's process pools, for the benchmark `process`.

The first argument is the contender. Reads a line for each portion of work and answers with the
nanoseconds that it took; ends when its input does. `check` as the second argument only finds out
whether the contender can be imported.

Two workers each, everything else as the library sets it. The tasks are builtins, which are sent
by name: `abs` for nothing to do, `len` for bytes one way, `bytes` for bytes there and back.
"""

import sys
import time

WORKERS = 2


class Futures:
    """An executor of the `concurrent.futures` kind."""

    def __init__(self, executor):
        self.executor = executor

    def pipelined(self, count):
        futures = [self.executor.submit(abs, number) for number in range(count)]
        for future in futures:
            future.result()

    def mapped(self, count):
        # In as many chunks as `multiprocessing.Pool` makes by itself.
        chunk = max(1, count // (4 * WORKERS))
        for _ in self.executor.map(abs, range(count), chunksize=chunk):
            pass

    def call(self, task, argument):
        return self.executor.submit(task, argument).result()

    def close(self):
        self.executor.shutdown()


class Pool:
    """`multiprocessing.Pool`."""

    def __init__(self, pool):
        self.pool = pool

    def pipelined(self, count):
        results = [self.pool.apply_async(abs, (number,)) for number in range(count)]
        for result in results:
            result.get()

    def mapped(self, count):
        self.pool.map(abs, range(count))

    def call(self, task, argument):
        return self.pool.apply(task, (argument,))

    def close(self):
        self.pool.close()
        self.pool.join()


def start(contender):
    if contender == "futures":
        from concurrent.futures import ProcessPoolExecutor

        return Futures(ProcessPoolExecutor(WORKERS))
    if contender == "loky":
        import loky

        return Futures(loky.get_reusable_executor(WORKERS, timeout=None))
    import multiprocessing

    if contender == "pool":
        return Pool(multiprocessing.Pool(WORKERS))
    raise ValueError(contender)


def work(pool, command, count, size):
    payload = bytes(size) if command.startswith("payload") else None
    begun = time.perf_counter_ns()
    if command == "pipelined":
        pool.pipelined(count)
    elif command == "mapped":
        pool.mapped(count)
    elif command == "trips":
        for number in range(count):
            pool.call(abs, number)
    elif command == "payload-in":
        for _ in range(count):
            assert pool.call(len, payload) == size
    elif command == "payload-back":
        for _ in range(count):
            assert len(pool.call(bytes, payload)) == size
    else:
        raise ValueError(command)
    return time.perf_counter_ns() - begun


def main():
    contender = sys.argv[1]
    if sys.argv[2:] == ["check"]:
        if contender == "loky":
            import loky  # noqa: F401
        return
    pool = start(contender)
    for line in sys.stdin:
        command, count, size = line.split()
        print(work(pool, command, int(count), int(size)), flush=True)
    pool.close()


if __name__ == "__main__":
    main()
