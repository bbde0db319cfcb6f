"""The ordinary encoders' side of the comparison: at every wire rate, full frame rate or the best lower one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adasr.colour import RgbImage
from adasr.compare_clip import ComparedClip, to_rgb
from adasr.compare_row import BEST_RATE_SUFFIX, SETTINGS_END, CompareRow
from benchmarks.rtp_cost import frame_wire_bytes, wire_kbps
from benchmarks.video_codecs import CodedVideo, VideoCodec, held_pictures
from benchmarks.wire_rate_search import HELD_STEPS, ClipCoder, RateTarget

_WORSE_STEPS = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    coded: CodedVideo
    pictures: list[RgbImage]
    psnr_db: float

    def shown(self, frames: int) -> Iterator[RgbImage]:
        """What stands on the display at each source frame."""
        return iter(held_pictures(self.pictures, self.coded.step, frames))


class VideoComparison:
    """One encoder on one clip, rate after rate."""

    def __init__(self, clip: ComparedClip, codec: VideoCodec) -> None:
        self._clip = clip
        self._codec = codec
        self._coder = ClipCoder(clip.yuv, codec, clip.frame_rate)

    def rows(self, target: RateTarget) -> list[CompareRow]:
        """The row by the rule, and another one where a lower frame rate is better than the full one.

        The rule: the full frame rate where the encoder reaches the target at all, else the frame rate with the best
        PSNR of the whole frame over all source frames. No row where no frame rate reaches it.
        """
        candidates = self._candidates(target)
        if not candidates:
            return []
        best = max(candidates, key=lambda candidate: candidate.psnr_db)
        by_rule = candidates[0] if candidates[0].coded.step == 1 else best
        rows = [self._row(by_rule, target, self._codec.name)]
        if best is not by_rule:
            rows.append(self._row(best, target, self._codec.name + BEST_RATE_SUFFIX))
        return rows

    def _candidates(self, target: RateTarget) -> list[_Candidate]:
        found: list[_Candidate] = []
        worse = 0
        for step in HELD_STEPS:
            coded = self._coder.meet(target, step)
            if coded is None:
                continue
            pictures = to_rgb(coded.decode())
            candidate = _Candidate(coded, pictures, 0.0)
            psnr = self._clip.whole_psnr_db(candidate.shown(len(self._clip.images)))
            worse = worse + 1 if found and psnr < max(other.psnr_db for other in found) else 0
            found.append(_Candidate(coded, pictures, psnr))
            if worse == _WORSE_STEPS:
                break
        return found

    def _row(self, candidate: _Candidate, target: RateTarget, name: str) -> CompareRow:
        coded, clip = candidate.coded, self._clip
        return CompareRow(
            clip=clip.name,
            codec=name,
            settings=f"{coded.codec.settings}{SETTINGS_END}crf {coded.crf:g}, every {coded.step}. frame",
            target_kbps=target.kbps,
            frame_rate=float(clip.frame_rate / coded.step),
            wire_kbps=wire_kbps(coded.payloads, clip.seconds),
            steady_kbps=wire_kbps(coded.payloads, clip.seconds, without_first=True),
            first_picture_bytes=frame_wire_bytes(coded.payloads[0]),
            quality=clip.measure(candidate.shown(len(clip.images))),
        )
