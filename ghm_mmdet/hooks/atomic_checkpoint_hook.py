"""Writes each checkpoint completely before it removes an older one."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@register_backend('AtomicLocalBackend', prefixes=None)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files, but a file has all of its content or does not exist."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a temporary file beside it, flush that to the disk, and then rename it.

        Raises:
            OSError: It cannot be written; an older file of that name is still there.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'{path.name}.part')
        try:
            with part.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            kept = 'older checkpoints are kept; make room, and continue with --resume'
            raise OSError(error.errno, f'{error.strerror}; {kept}', str(path)) from error
        finally:
            part.unlink(missing_ok=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` with the same arguments and files.

    MMEngine's hook writes under the file's final name, after it has removed another file: with
    ``max_keep_ckpts`` the oldest checkpoint, with ``save_best`` the previous best. If the run is
    killed then, or the disk is full, a run that keeps one file has none. This hook writes a new
    file first and removes last. It needs space for one more checkpoint. Files that are not local
    are written as MMEngine does.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose the file back end."""
        super().before_train(runner)
        local = isinstance(self.file_backend, LocalBackend)
        if local and self.backend_args is None and self.file_client_args is None:
            self.backend_args = dict(backend='AtomicLocalBackend')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        most = self.max_keep_ckpts
        if most <= 0:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        self.keep_ckpt_ids = deque(self.keep_ckpt_ids)
        # let the parent class keep one more, and remove the oldest below
        self.max_keep_ckpts = most + 1
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = most
        while len(self.keep_ckpt_ids) > most:
            name = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            self._remove(self.file_backend.join_path(self.out_dir, name))
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        before = self._best
        # the parent class removes the checkpoints that it knows, so hide them from it
        self._best = dict.fromkeys(before)
        super()._save_best_checkpoint(runner, metrics)
        after = self._best
        self._best = {name: path or before[name] for name, path in after.items()}
        for name, path in before.items():
            # a name may repeat, in a training by iterations with names by epoch
            if path and after[name] not in (None, path):
                self._remove(path)

    @property
    def _best(self) -> dict[str, str | None]:
        """Path of the best checkpoint by each metric, however many metrics there are."""
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return self.best_ckpt_path_dict

    @_best.setter
    def _best(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = paths

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            # as DeepSpeed writes them
            self.file_backend.rmtree(path)
