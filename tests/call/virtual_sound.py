"""A call in made-up time with sound beside its pictures; what is recorded never ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from adasr_core.bitstream.audio_packet import AudioMessage
from call.emulated_line import LineConfig
from sender.audio_gather import AudioFrame, AudioGather
from sender.audio_rate import AudioRate, audio_rules
from sender.rate_control import RateControlConfig
from tests.call.virtual_call import Studio, VirtualResult, _Arrival, _VirtualCall


@dataclass
class VirtualSound:
    """frames: sent. arrived: frame numbers. alone: messages that left without motion. bitrates_bps: one a frame."""

    frames: int = 0
    arrived: set[int] = field(default_factory=set)
    messages: int = 0
    alone: int = 0
    bitrates_bps: list[int] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)


class _SoundCall(_VirtualCall):
    """Frames of the size that the bitrate says, as the constant-bitrate coder makes them."""

    def __init__(self, studio: Studio, rate: RateControlConfig, line: LineConfig, back: LineConfig) -> None:
        super().__init__(studio, rate, line, back)
        self.rate = AudioRate(audio_rules(rate.mode))
        self.gather = AudioGather()
        self.sound = VirtualSound()
        self.oldest_s = 0.0

    def _leave(self, messages: list[tuple[str, bytes]], forward: bool, now: float) -> None:
        if forward and self.sent_first:
            self._record(now)
            deadline = self.gather.deadline()
            moves = any(kind == "motion" for kind, _ in messages)
            if deadline is not None and (moves or now >= deadline):
                data = self.gather.take()
                assert data is not None
                self.sound.messages += 1
                self.sound.alone += not moves
                self.sound.waited_s.append(now - self.oldest_s)
                messages = [*messages, ("audio", data)]
        super()._leave(messages, forward, now)

    @property
    def sent_first(self) -> bool:
        return self.captured > 0

    def _record(self, now: float) -> None:
        rules = self.rate.rules
        while (self.sound.frames + 1) * rules.frame_ms / 1000 <= now:
            lossy = bool(self.result.plans) and self.result.plans[-1].redundant
            shared_bps = self.controller.shared_bps
            self.rate.follow(shared_bps, lossy=lossy, now=now)
            self.rate.spoke(now)
            repeats = self.rate.repeats(shared_bps, lossy=lossy)
            keep_bps = self.rate.reserve_bps(repeats=repeats, alone=not self.result.sent_ms, now=now)
            self.controller.set_audio(keep_bps, rules.longest_message_s)
            if self.gather.deadline() is None:
                self.oldest_s = now
            self.gather.add(
                AudioFrame(
                    frame_ms=rules.frame_ms,
                    sequence=self.sound.frames,
                    time_s=now,
                    packet=bytes(self.rate.bitrate_bps * rules.frame_ms // 8000),
                    patience_s=rules.patience_s,
                    repeats=repeats,
                ),
                now,
            )
            self.sound.frames += 1
            self.sound.bitrates_bps.append(self.rate.bitrate_bps)

    def _arrive(self, arrival: _Arrival) -> None:
        for kind, data in arrival.messages:
            if kind == "audio":
                message = AudioMessage.unpack(data)
                self.sound.arrived |= {message.sequence - back for back in range(len(message.frames))}
        arrival.messages = [(kind, data) for kind, data in arrival.messages if kind != "audio"]
        super()._arrive(arrival)


def hold_sound_call(
    studio: Studio, rate: RateControlConfig, seconds: float, line: LineConfig, back: LineConfig
) -> tuple[VirtualResult, VirtualSound]:
    """Hold a call of `seconds` in which somebody speaks without a pause."""
    call = _SoundCall(studio, rate, line, back)
    return call.run(seconds, line), call.sound
