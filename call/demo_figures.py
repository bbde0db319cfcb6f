"""What the demo measures: rates, latency and picture quality, from the two peers' reports and pictures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import TICKS_PER_SECOND, unwrap_u16
from adasr_core.picture_quality import psnr_db
from call.emulated_line import LineConfig
from call.messages import TransportStatistics, WireMark
from call.peer import CallReport
from call.receiving import ReceivingReport
from call.sending_report import SendingReport
from call.shown_frames import Outage, longest_freeze_ms, own_share, recovery_ms
from call.sinks import StoredFrame, read_pictures

Image = npt.NDArray[np.uint8]

_SAME_FRAME_MS = 2
_NEEDED_FPS = 20.0
_NEEDED_SHARE = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFigures:
    """The figures of one demo; None where nothing was rebuilt.

    Attributes:
        seconds: from the first frame sent to the last.
        frames_captured: frames that the clip gave.
        frames_left_out: frames that were not sent because the line does not afford the clip's frame rate.
        frames_sent: frames sent as motion.
        frames_rebuilt: frames rebuilt and shown.
        frames_made_up: of these, drawn between others or by carrying motion on.
        shown_share: share of the frames sent that were shown by their own motion, 0 to 1, an outage apart.
        longest_freeze_ms: longest time from one picture to the next, an outage apart.
        recovery_ms: from the end of an outage to the next picture; None without one.
        fps_captured: frames a second that the clip gave.
        fps_shown: frames a second shown, from the first to the last.
        messages: motion messages sent.
        frames_per_message: mean frames in a motion message.
        bytes_per_frame: mean bytes of motion for a frame, headers of the messages included.
        references: references sent.
        reference_bytes: their bytes.
        references_by_kind: how many were sent for each reason.
        anchors: pictures sent with motion messages.
        anchor_bytes: their bytes.
        payload_kbps: motion, references and anchors before any transport header.
        wire_kbps: everything that the sender sent, headers of IP, UDP, DTLS and SCTP included, from the first byte of
            the first reference to the last motion message.
        return_kbps: everything that came back in the same time, feedback and acknowledgements above all.
        steady_wire_kbps: as ``wire_kbps``, from the first motion message on: without the first picture.
        line_kbps: what the sender thinks that the line carries, at the end.
        line_loss: share of the frames sent that did not arrive lately, at the end, 0 to 1.
        rtt_ms: shortest round trip of the last seconds, as feedback tells it.
        latency_ms_p50: from the capture of a frame to the moment when its rebuilt picture is complete, median.
        latency_ms_p95: the same, 95th percentile.
        coding_ms_p50: from capture until the frame's message left, median; gathering frames is in it.
        rebuild_ms_p50: one rebuild, median.
        rebuild_ms_p95: the same, 95th percentile.
        psnr_db: mean over the frames of the rebuilt picture against the source.
    """

    seconds: float
    frames_captured: int
    frames_left_out: int
    frames_sent: int
    frames_rebuilt: int
    frames_made_up: int
    shown_share: float
    longest_freeze_ms: float | None
    recovery_ms: float | None
    fps_captured: float
    fps_shown: float
    messages: int
    frames_per_message: float
    bytes_per_frame: float
    references: int
    reference_bytes: int
    references_by_kind: tuple[tuple[str, int], ...]
    anchors: int
    anchor_bytes: int
    payload_kbps: float
    wire_kbps: float | None
    return_kbps: float | None
    steady_wire_kbps: float | None
    line_kbps: float
    line_loss: float
    rtt_ms: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    coding_ms_p50: float | None
    rebuild_ms_p50: float | None
    rebuild_ms_p95: float | None
    psnr_db: float | None


def measure_demo(
    sending: CallReport,
    receiving: CallReport,
    sent_frames: Sequence[StoredFrame],
    shown_frames: Sequence[StoredFrame],
    sent_path: Path,
    shown_path: Path,
    picture_px: int,
    line: LineConfig | None = None,
) -> DemoFigures:
    """Work out the figures.

    Args:
        sending: report of the peer that sent.
        receiving: report of the peer that rebuilt.
        sent_frames: times of the pictures in ``sent_path``.
        shown_frames: times of the pictures in ``shown_path``.
        sent_path: pictures that were sent.
        shown_path: pictures that were rebuilt.
        picture_px: edge of the pictures.
        line: the emulated line of the sending peer, if there was one.
    """
    sent, shown = sending.sending, receiving.receiving
    if sent is None or shown is None:
        raise ValueError("reports: expected one of a peer that sends and one of a peer that receives")
    seconds = (sent.sent_times_ms[-1] - sent.sent_times_ms[0]) / 1000 if len(sent.sent_times_ms) > 1 else 0.0
    span_s = shown.shown_times_s[-1] - shown.shown_times_s[0] if len(shown.shown_times_s) > 1 else 0.0
    latencies = latencies_ms(shown)
    statistics = sending.statistics
    outage = outage_of(line, statistics)
    return DemoFigures(
        seconds=seconds,
        frames_captured=sent.frames_captured,
        frames_left_out=sent.frames_left_out,
        frames_sent=sent.frames_sent,
        frames_rebuilt=shown.frames_shown,
        frames_made_up=shown.frames_made_up,
        shown_share=own_share(sent.sent_times_ms, shown.capture_times_ms, shown.made_up, outage),
        longest_freeze_ms=longest_freeze_ms(shown.shown_times_s, outage),
        recovery_ms=recovery_ms(shown.shown_times_s, outage),
        fps_captured=captured_fps(sent),
        fps_shown=(len(shown.shown_times_s) - 1) / span_s if span_s > 0 else 0.0,
        messages=sent.messages,
        frames_per_message=sent.frames_sent / max(sent.messages, 1),
        bytes_per_frame=sent.motion_bytes / max(sent.frames_sent, 1),
        references=sent.references,
        reference_bytes=sent.reference_bytes,
        references_by_kind=sent.references_by_kind,
        anchors=sent.anchors,
        anchor_bytes=sent.anchor_bytes,
        payload_kbps=_payload_bytes(sent) * 8 / 1000 / seconds if seconds else 0.0,
        wire_kbps=_sent_kbps(statistics, statistics.first_media if statistics else None),
        return_kbps=_returned_kbps(statistics, statistics.first_media if statistics else None),
        steady_wire_kbps=_sent_kbps(statistics, statistics.first_motion if statistics else None),
        line_kbps=sent.line.estimate_bps / 1000,
        line_loss=sent.line.loss,
        rtt_ms=None if sent.line.rtt_s is None else sent.line.rtt_s * 1000,
        latency_ms_p50=_percentile(latencies, 50),
        latency_ms_p95=_percentile(latencies, 95),
        coding_ms_p50=_percentile(sent.coding_ms, 50),
        rebuild_ms_p50=_percentile(shown.rebuild_ms, 50),
        rebuild_ms_p95=_percentile(shown.rebuild_ms, 95),
        psnr_db=_mean_psnr_db(sent_frames, shown_frames, sent_path, shown_path, picture_px),
    )


def _payload_bytes(sent: SendingReport) -> int:
    return sent.motion_bytes + sent.reference_bytes + sent.anchor_bytes


def demo_faults(sending: CallReport, receiving: CallReport, figures: DemoFigures) -> list[str]:
    """What keeps a demo from counting as a call that worked; empty when it worked."""
    faults = [
        f"the {name} peer's call failed: {report.reason}"
        for name, report in (("sending", sending), ("receiving", receiving))
        if report.failed
    ]
    needed_fps = min(_NEEDED_FPS, _NEEDED_SHARE * figures.fps_captured)
    if figures.frames_rebuilt < 2:
        faults.append(f"{figures.frames_rebuilt} frames were rebuilt")
    elif figures.fps_shown < needed_fps:
        faults.append(f"{figures.fps_shown:.1f} frames a second were shown, at least {needed_fps:.1f} are needed")
    if figures.shown_share < _NEEDED_SHARE:
        faults.append(f"{100 * figures.shown_share:.0f} % of the {figures.frames_sent} frames sent were shown")
    return faults


def outage_of(line: LineConfig | None, statistics: TransportStatistics | None) -> Outage | None:
    """When the emulated line carried nothing, on the monotonic clock that both peers read; None if it always did."""
    if line is None or not line.outage_s or statistics is None or statistics.first_media is None:
        return None
    start_s = statistics.first_media.time_s + line.outage_at_s
    return Outage(start_s, start_s + line.outage_s)


def latencies_ms(shown: ReceivingReport) -> list[float]:
    """Capture to rebuilt picture for every frame that was sent and shown, both clocks being one."""
    latencies = []
    for capture_ms, shown_s, made_up in zip(shown.capture_times_ms, shown.shown_times_s, shown.made_up, strict=True):
        shown_ms = shown_s * 1000
        if not made_up:
            latencies.append(shown_ms - unwrap_u16(capture_ms, round(shown_ms)))
    return latencies


def captured_fps(sent: SendingReport) -> float:
    """Frames a second that the source gave."""
    return (sent.frames_captured - 1) / sent.capture_span_s if sent.capture_span_s > 0 else 0.0


def pair_frames(sent: Sequence[StoredFrame], shown: Sequence[StoredFrame]) -> list[tuple[int, int]]:
    """Indices (sent, shown) of the same moments: capture times that agree to 2 ms.

    Args:
        sent: times on the sender's clock, rising.
        shown: the same times as the receiver knows them, congruent modulo 65,536 ms.
    """
    times = [frame.time_ms for frame in sent]
    pairs = []
    near = times[0] if times else 0
    for index, frame in enumerate(shown):
        time_ms = unwrap_u16(frame.time_ms & 0xFFFF, near)
        near = time_ms
        position = bisect_left(times, time_ms - _SAME_FRAME_MS)
        if position < len(times) and abs(times[position] - time_ms) <= _SAME_FRAME_MS:
            pairs.append((position, index))
    return pairs


def beside_each_other(
    sent_frames: Sequence[StoredFrame],
    shown_frames: Sequence[StoredFrame],
    sent_path: Path,
    shown_path: Path,
    picture_px: int,
) -> Iterator[tuple[Image, int]]:
    """Every picture sent with what the receiver showed for it on its right; a lost frame repeats the one before.

    Yields:
        The picture, uint8 [picture_px, 2 * picture_px, 3] RGB, and its time in 1/90000 s from 0 on.
    """
    if not sent_frames:
        return
    partner = dict(pair_frames(sent_frames, shown_frames))
    sent = read_pictures(sent_path, picture_px, len(sent_frames))
    shown = read_pictures(shown_path, picture_px, len(shown_frames)) if shown_frames else None
    rebuilt: Image = np.zeros((picture_px, picture_px, 3), np.uint8)
    ticks = -1
    for index, frame in enumerate(sent_frames):
        if shown is not None and index in partner:
            rebuilt = shown[partner[index]]
        ticks = max(ticks + 1, (frame.time_ms - sent_frames[0].time_ms) * TICKS_PER_SECOND // 1000)
        yield np.concatenate([sent[index], rebuilt], axis=1), ticks


def _mean_psnr_db(
    sent_frames: Sequence[StoredFrame],
    shown_frames: Sequence[StoredFrame],
    sent_path: Path,
    shown_path: Path,
    picture_px: int,
) -> float | None:
    pairs = pair_frames(sent_frames, shown_frames)
    if not pairs:
        return None
    sent = read_pictures(sent_path, picture_px, len(sent_frames))
    shown = read_pictures(shown_path, picture_px, len(shown_frames))
    return float(np.mean([psnr_db(sent[i], shown[j]) for i, j in pairs]))


def _sent_kbps(statistics: TransportStatistics | None, first: WireMark | None) -> float | None:
    last = statistics.last_motion if statistics else None
    if first is None or last is None or last.time_s <= first.time_s:
        return None
    return (last.count.sent_bytes - first.count.sent_bytes) * 8 / 1000 / (last.time_s - first.time_s)


def _returned_kbps(statistics: TransportStatistics | None, first: WireMark | None) -> float | None:
    last = statistics.last_motion if statistics else None
    if first is None or last is None or last.time_s <= first.time_s:
        return None
    return (last.count.received_bytes - first.count.received_bytes) * 8 / 1000 / (last.time_s - first.time_s)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None
