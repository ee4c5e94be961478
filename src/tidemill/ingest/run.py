"""Source → records → lake: staging side by side with anything, settling and committing under the lake's lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import SourceError, UsageError
from tidemill.home import disk_errors, staging_dir
from tidemill.home.file_names import is_utf8, shown
from tidemill.ingest import failures, formats, pending_jobs
from tidemill.ingest.load import identity, of_portion
from tidemill.ingest.queue import Loader, Queue, Report
from tidemill.ingest.seen_files import Memory
from tidemill.sources import discovery, files
from tidemill.sources.selection import expanded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidemill.config.settings import Settings, Source
    from tidemill.home.home import Home
    from tidemill.ingest.formats import Format
    from tidemill.ingest.load import Load
    from tidemill.sources.files import Portion, Seen


def ingest(
    home: Home,
    settings: Settings,
    found: Sequence[Source],
    *,
    reread: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Report]:
    """Ingest sources one after the other; a file that cannot be used is reported and the others go on.

    `progress` is called with (source, files done, files in all).

    Raises:
        StorageError: the disk refuses; what was committed before stays.
    """
    with disk_errors.guarded(home.path), staging_dir.held(home):
        return _ingest(_Run(Loader(home, settings), reread, progress), found)


def _ingest(run: _Run, found: Sequence[Source]) -> list[Report]:
    home, settings = run.loader.home, run.loader.settings
    reports = [run.ingest(source) for source in found]
    if pending_jobs.due(home) is not None or any(report.total("accepted") for report in reports):
        from tidemill.ingest.quarantine import retry_unknown_jobs

        reports += retry_unknown_jobs(home, settings)
    return reports


@dataclass
class _Run:
    """One ingest of some sources."""

    loader: Loader
    reread: bool
    progress: Callable[[str, int, int], None] | None

    def ingest(self, source: Source) -> Report:
        """Load what is new in the files of one source."""
        report = Report(source.name)
        try:
            form = formats.load(source.format, self.loader.home.path)
        except UsageError as error:
            report.failures.append(error)
            return report
        paths = self._found(source, report)
        queue = Queue(self.loader, Memory(self.loader.home, source.name), report)
        try:
            for number, path in enumerate(paths):
                self._say(source, number, paths)
                self._take(source, form, path, queue)
            queue.flush()
        except BaseException:
            queue.drop()
            raise
        self._say(source, len(paths), paths)
        return report

    def _take(self, source: Source, form: Format, path: Path, queue: Queue) -> None:
        """Take what is new in one file; whatever fails while it is looked at is the failure of that file."""
        last = queue.memory.of(path)
        try:
            portion = self._portion(source, form, path, last, queue.report)
        except Exception as error:  # noqa: BLE001 - one file must not stop the others
            queue.report.failures.append(failures.of_reading(error, path))
            return
        # From here on a failure is the home's, and all files would meet it.
        if portion and (load := self._new(source, form, portion, last, queue)):
            queue.take(load)

    def _found(self, source: Source, report: Report) -> list[Path]:
        """The files of a source; a name of nothing is a failure beside the others."""
        found: dict[Path, None] = {}
        patterns = [expanded(path, self.loader.home.path) for path in source.path]
        for pattern in patterns:
            try:
                found |= dict.fromkeys(discovery.find([pattern], report.failures.append))
            except Exception as error:  # noqa: BLE001 - one path must not stop the others
                report.failures.append(failures.of_reading(error, Path(pattern)))
        for path in list(discovery.astray(patterns, found)):
            target = discovery.real(path)
            why = f"{path} is a link that leads out of its folder; name {target}, or its folder, as a path too"
            report.failures.append(SourceError(why))
            del found[path]
        # Of two equal files one is loaded: rather the one with a name that can be written down.
        return sorted(found, key=is_utf8, reverse=True)

    def _say(self, source: Source, number: int, paths: Sequence[Path]) -> None:
        if self.progress:
            self.progress(source.name, number, len(paths))

    def _portion(self, source: Source, form: Format, path: Path, last: Seen | None, report: Report) -> Portion | None:
        """Return what is new in a file; None when there is nothing new in it."""
        signature = identity(source, "", form)
        if not self.reread and last and last.format == signature and files.unchanged(path, last):
            report.unchanged += 1
            return None
        portion = files.portion(path, signature, form.path_parts, last)
        if portion is None:
            if path.stat().st_size:
                report.unchanged += 1
            else:
                report.empty.append(shown(path))
        return portion

    def _new(self, source: Source, form: Format, portion: Portion, last: Seen | None, queue: Queue) -> Load | None:
        """Return a file's new portion as a load; None when the lake has it."""
        report = queue.report
        load = of_portion(source, form, portion, staging_dir.of(self.loader.home))
        if load.load_id in self.loader.begun:
            report.unchanged += 1
            return None
        if not load.bytes or load.load_id in self.loader.done:
            report.unchanged += 1
            queue.memory.keep([load])
            return None
        self.loader.begun.add(load.load_id)
        report.again += bool(last and last.format != portion.seen.format)
        return load
