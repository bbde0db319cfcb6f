"""The codec without a network: a video file to an ``.akc`` file and back.

::

    mp4 --> face and parameters --> references --> best reference and corrected motion for every frame --> .akc
    .akc --> references decoded once --> every frame rebuilt --> mp4
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from adasr.akc_summary import AkcSummary, open_akc
from adasr.clip_analysis import AnalysedClip, analyse_clip
from adasr.colour import RgbImage
from adasr.encode_options import EncodeOptions
from adasr.ordered_work import default_threads, in_order
from adasr.partial_file import check_distinct, check_writable, partial_file
from adasr.progress import ProgressReport, no_progress
from adasr.reference_trial import FrameChoice, RebuildTrial, Reference
from adasr.video_file import VideoFile, open_video
from adasr.video_writer import check_audio, write_mp4
from adasr_core.adapter import Adapter
from adasr_core.bitstream import (
    PICTURE_AVIF,
    TICKS_PER_SECOND,
    AkcFile,
    AkcHeader,
    AkcWriter,
    AudioTrack,
    BitstreamError,
    CodedFrame,
    FrameToCode,
    MotionCodec,
    ReferencePacket,
    decode_picture,
)
from adasr_core.bitstream.message_head import MAX_INTERVAL_MS
from adasr_core.bitstream.prediction import MAX_DISTANCE
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel, ReferenceFeatures
from adasr_core.engines.face_model import PARTS, Part
from adasr_core.geometry import MotionParameters
from sender.tracker import CropMode

__all__ = [
    "DECODER_PARTS",
    "EncodeOptions",
    "EncodeResult",
    "RebuiltFrame",
    "decode_clip",
    "decode_file",
    "encode_clip",
    "encode_file",
    "message_groups",
    "open_decodable",
    "rebuilt_frames",
]

DECODER_PARTS: tuple[Part, ...] = ("encoder", "motion", "generator")
"""What a model needs loaded to rebuild frames."""

_TICKS_PER_MS = 90


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """What `encode_file` did.

    chosen: numbers of the frames that became references. estimated_psnr_db: mean over the frames, whole picture, of the
    encoder's own rebuild.
    """

    summary: AkcSummary
    mode: CropMode
    frames_without_face: int
    chosen: tuple[int, ...]
    estimated_psnr_db: float


def encode_file(
    source: Path,
    output: Path,
    bundle: ModelBundle,
    options: EncodeOptions,
    *,
    engine: EngineName = "openvino",
    adapter: Adapter | None = None,
    threads: int | None = None,
    progress: ProgressReport = no_progress,
) -> EncodeResult:
    """Encode a video file. The same file comes out whatever the number of threads.

    Args:
        source: any file that FFmpeg decodes.
        output: the ``.akc`` file; it appears when it is complete.
        bundle: the model.
        options: how to encode.
        engine: what runs the networks.
        adapter: of the person, where whoever decodes has it too: key frames are chosen by what it will show.
        threads: runs of the networks at once on a processor; None is `default_threads`.
        progress: told how far the work is.

    Raises:
        ValueError: not a video, no face in it, or sound that an mp4 cannot carry.
        OSError: a file cannot be read or written.
        EngineError: the engine is not there.
    """
    video = _opened(source, output)
    streams = default_threads() if threads is None else threads
    model = FaceModel.load(bundle, engine=engine, parts=PARTS, adapter=adapter, streams=streams)
    coded = _encode(video, output, model, options, progress)
    return EncodeResult(
        summary=coded.summary,
        mode=coded.clip.mode,
        frames_without_face=sum(not frame.face_found for frame in coded.clip.frames),
        chosen=tuple(reference.number for reference in coded.references),
        estimated_psnr_db=coded.trial.measure(coded.references, coded.choices, coded.decoded, progress),
    )


def encode_clip(
    source: Path, output: Path, model: FaceModel, options: EncodeOptions, progress: ProgressReport = no_progress
) -> AkcSummary:
    """`encode_file` with a model that is loaded, all its parts; for one who measures the rebuilt frames himself.

    Returns:
        What is in the file.
    """
    return _encode(_opened(source, output), output, model, options, progress).summary


def _opened(source: Path, output: Path) -> VideoFile:
    video = open_video(source)
    check_distinct(source, output)
    check_writable(output)
    return video


@dataclass(frozen=True, slots=True)
class _CodedClip:
    """A clip after it was written. decoded: every frame's motion as it will be decoded."""

    summary: AkcSummary
    clip: AnalysedClip
    trial: RebuildTrial
    references: Sequence[Reference]
    choices: Sequence[FrameChoice]
    decoded: Sequence[MotionParameters]


def _encode(
    video: VideoFile, output: Path, model: FaceModel, options: EncodeOptions, progress: ProgressReport
) -> _CodedClip:
    audio = video.read_audio() if options.keep_audio else None
    if audio is not None:
        check_audio(audio.stream)
    codec = MotionCodec(model.bundle.tables(), model.keypoints)
    clip = analyse_clip(video, model, options.crop, progress)
    trial = RebuildTrial(clip, model, codec, options.picture_quality, options.motion_quality)
    if options.references == 1:
        references = [trial.first_reference()]
    else:
        references = trial.choose(
            options.references,
            candidate_limit=options.candidates,
            target_limit=options.targets,
            tries=options.candidates_per_target,
            progress=progress,
        )
    choices = trial.assign(references, rebuilds=options.rebuilds_per_frame, effort=options.effort, progress=progress)
    header = AkcHeader(
        codec_id=model.bundle.codec_id,
        model=model.bundle.manifest.name,
        frame_px=model.frame_px,
        frame_rate=(video.frame_rate.numerator, video.frame_rate.denominator),
        frames=len(clip.frames),
    )
    with partial_file(output) as temporary:
        with temporary.open("wb") as file, AkcWriter(file, header) as writer:
            decoded = _write_video(writer, clip, references, choices, codec, options)
            if audio is not None:
                _write_audio(writer, audio)
        summary = AkcSummary.of(open_akc(temporary))
    return _CodedClip(summary, clip, trial, references, choices, decoded)


def _write_video(
    writer: AkcWriter,
    clip: AnalysedClip,
    references: Sequence[Reference],
    choices: Sequence[FrameChoice],
    codec: MotionCodec,
    options: EncodeOptions,
) -> list[MotionParameters]:
    """Write every frame's motion, each reference just before the first frame that names it. Slot = index.

    Returns the parameters of every frame as they will be decoded.
    """
    written: set[int] = set()
    decoded: list[MotionParameters] = []
    base: CodedFrame | None = None
    for numbers in message_groups([frame.ticks for frame in clip.frames], choices, options.frames_per_message):
        slot = choices[numbers[0]].reference
        reference = references[slot]
        if slot not in written:
            writer.write_reference(
                ReferencePacket(
                    slot=slot,
                    generation=0,
                    time_ms=_time_ms(clip.frames[reference.number].ticks),
                    frame_px=clip.frame_px,
                    parameters=reference.parameters_data,
                    picture=reference.picture_data,
                )
            )
            written.add(slot)
        message, coded = codec.encode_message(
            [FrameToCode(_time_ms(clip.frames[number].ticks), choices[number].parameters) for number in numbers],
            reference.parameters,
            slot=slot,
            generation=0,
            sequence=numbers[-1] % 256,
            quality=options.motion_quality,
            base=base,
        )
        writer.write_motion(message, tuple(clip.frames[number].ticks for number in numbers))
        base = coded[-1]
        decoded.extend(frame.parameters for frame in coded)
    return decoded


def message_groups(ticks: Sequence[int], choices: Sequence[FrameChoice], most: int) -> Iterator[list[int]]:
    """Numbers of the frames that go into one message: the same reference, at most `most`, near in time.

    ticks: presentation times, 1/90000 s.
    """
    group: list[int] = []
    for number, choice in enumerate(choices):
        if group:
            interval_ms = (_time_ms(ticks[number]) - _time_ms(ticks[number - 1])) % 65_536
            apart = not 1 <= interval_ms <= MAX_INTERVAL_MS or ticks[number] - ticks[number - 1] > TICKS_PER_SECOND
            if apart or len(group) == most or choice.reference != choices[group[0]].reference:
                yield group
                group = []
        group.append(number)
    if group:
        yield group


def _write_audio(writer: AkcWriter, audio: AudioTrack) -> None:
    writer.write_audio_stream(audio.stream)
    for packet in audio.packets:
        writer.write_audio_packet(packet)


def _time_ms(ticks: int) -> int:
    """Presentation time as packets carry it: milliseconds modulo 65536."""
    return (ticks // _TICKS_PER_MS) % 65_536


def decode_file(
    source: Path,
    output: Path,
    bundle: ModelBundle,
    *,
    engine: EngineName = "openvino",
    adapter: Adapter | None = None,
    progress: ProgressReport = no_progress,
) -> AkcSummary:
    """Decode an ``.akc`` file to an mp4 file of the same number of frames at the same times, sound included.

    Args:
        source: the ``.akc`` file.
        output: the mp4 file; it appears when it is complete.
        bundle: the model that the file was encoded with, or one with the same codec id.
        engine: what runs the networks.
        adapter: of the person in the file.
        progress: told after every frame.

    Returns:
        What was in the file.

    Raises:
        BitstreamError: not an ``.akc`` file, a damaged one, or one of another model.
        OSError: a file cannot be read or written.
        EngineError: the engine is not there.
    """
    open_decodable(source, bundle)
    check_distinct(source, output)
    check_writable(output)
    model = FaceModel.load(bundle, engine=engine, parts=DECODER_PARTS, adapter=adapter, streams=default_threads())
    return decode_clip(source, output, model, progress)


def decode_clip(source: Path, output: Path, model: FaceModel, progress: ProgressReport = no_progress) -> AkcSummary:
    """`decode_file` with a model that is loaded, its `DECODER_PARTS` at least."""
    akc = open_decodable(source, model.bundle)
    header = akc.header
    if akc.audio is not None:
        check_audio(akc.audio.stream)
    with (
        partial_file(output) as temporary,
        write_mp4(
            temporary,
            width_px=header.frame_px,
            height_px=header.frame_px,
            frame_rate=Fraction(*header.frame_rate),
            audio=akc.audio,
        ) as writer,
    ):
        for number, frame in enumerate(rebuilt_frames(akc, model)):
            writer.write(frame.image, frame.ticks)
            progress("rebuilding", number + 1, header.frames)
    return AkcSummary.of(akc)


def open_decodable(source: Path, bundle: ModelBundle) -> AkcFile:
    """Read an ``.akc`` file that a model decodes.

    Raises:
        BitstreamError: not an ``.akc`` file, a damaged one, or one of another model; the message names both models.
        OSError: the file cannot be read.
    """
    akc = open_akc(source)
    header = akc.header
    if header.codec_id != bundle.codec_id:
        raise BitstreamError(
            f"{source}: encoded with model {header.model!r} (codec id {header.codec_id}), but the model here is "
            f"{bundle.manifest.name!r} (codec id {bundle.codec_id}): give the right one with --model"
        )
    if header.frame_px != bundle.manifest.frame_px:
        raise BitstreamError(
            f"{source}: frame_px: got {header.frame_px}, expected {bundle.manifest.frame_px} (from the model)"
        )
    return akc


@dataclass(frozen=True, slots=True)
class RebuiltFrame:
    """image: uint8 [frame_px, frame_px, 3] RGB, as the generator left it. ticks: presentation time, 1/90000 s."""

    image: RgbImage
    ticks: int


def rebuilt_frames(akc: AkcFile, model: FaceModel) -> Iterator[RebuiltFrame]:
    """Rebuild every frame of a file in order, references decoded once; as many at once as the model has streams.

    Args:
        akc: the file, from `open_decodable`.
        model: the model, with its `DECODER_PARTS` loaded.

    Raises:
        BitstreamError: parameters or a picture in the file are damaged.
    """

    def rebuilt(frame: _DecodedFrame) -> RebuiltFrame:
        return RebuiltFrame(model.rebuild(frame.features, frame.reference, frame.driving), frame.ticks)

    return in_order(rebuilt, _decoded_frames(akc, model), model.streams)


@dataclass(frozen=True, slots=True)
class _DecodedFrame:
    """All that a frame is rebuilt from. ticks: presentation time, 1/90000 s."""

    features: ReferenceFeatures
    reference: MotionParameters
    driving: MotionParameters
    ticks: int


def _decoded_frames(akc: AkcFile, model: FaceModel) -> Iterator[_DecodedFrame]:
    codec = MotionCodec(model.bundle.tables(), model.keypoints)
    bank: dict[int, tuple[ReferenceFeatures, MotionParameters]] = {}
    coded: deque[CodedFrame] = deque(maxlen=MAX_DISTANCE)
    for record in akc.records:
        if isinstance(record, ReferencePacket):
            if record.picture_codec != PICTURE_AVIF or record.base is not None:
                raise BitstreamError("akc reference: expected an AVIF picture and parameters of its own; update adasr")
            picture = decode_picture(record.picture, akc.header.frame_px)
            bank[record.slot] = model.encode(picture), codec.decode_reference(record.parameters)
            continue
        features, reference = bank[record.message.slot]
        held = {frame.sequence: frame for frame in coded}
        frames = codec.decode_message(record.message, reference, held.get)
        if len(frames) != len(record.pts_ticks):
            raise BitstreamError(f"akc motion record: got {len(frames)} frames, expected {len(record.pts_ticks)}")
        coded.extend(frames)
        for frame, ticks in zip(frames, record.pts_ticks, strict=True):
            yield _DecodedFrame(features, reference, frame.parameters, ticks)
