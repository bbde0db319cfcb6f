"""A still portrait that can be posed: the head is a warped layer over a plate without the head.

    output pixel -> undo the pose of the head (ray onto a depth dome) -> undo the expression -> pixel of the portrait

Coordinates are pixels of scikit-image's 512x512 ``astronaut`` (x right, y down) unless said otherwise; depth points at
the viewer. All positions were read off that picture. Shapes: H W = 512 512 of the output frame.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from adasr.sample.performance import Performance

FloatMap = NDArray[np.float32]
Image = NDArray[np.uint8]

FRAME_PX = 512
WINDOW_LEFT, WINDOW_TOP, WINDOW_SIZE = 114.0, 8.0, 220.0
ENLARGEMENT = 4
HEAD_CENTRE = (226.0, 96.0)
HEAD_RADII = (76.0, 92.0)
HEAD_DEPTH = 60.0
NOSE_TIP = (222.0, 125.0)
PIVOT = (225.0, 192.0, -18.0)
CAMERA_DISTANCE = 900.0
MOUTH_CENTRE_X, MOUTH_HALF_WIDTH = 223.5, 21.0
# The upper edge of the lower lip, from corner to corner.
LIP_X = (202.5, 206.0, 210.0, 215.0, 221.0, 226.0, 231.0, 235.0, 240.0, 244.5)
LIP_Y = (139.5, 143.6, 147.4, 149.3, 150.0, 149.8, 149.0, 147.0, 143.8, 141.0)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye: the lids are parabolas over |x - centre_x| < half_width.

    Attributes:
        centre_x: middle between the corners.
        half_width: half the distance of the corners.
        corner_y: height of the corners.
        upper_y: height of the upper lid in the middle.
        lower_y: height of the lower lid in the middle.
        brow_y: lower edge of the brow: the lid's skin begins below it.
    """

    centre_x: float
    half_width: float
    corner_y: float
    upper_y: float
    lower_y: float
    brow_y: float


EYES = (Eye(202.5, 11.0, 102.0, 96.6, 105.4, 93.0), Eye(247.5, 11.5, 104.3, 98.4, 107.2, 94.8))
# The rear rim of the suit's neck ring, which the neck hides, and its colour and thickness.
RIM = ((170.0, 151.4), (182.0, 151.0), (200.0, 153.0), (218.0, 157.0), (236.0, 165.0), (250.0, 174.0), (262.0, 184.0))
RIM_COLOUR = (104.0, 92.0, 104.0)
RIM_HALF_PX = 2.8


class PosablePortrait:
    """The portrait, cut into layers once and then rendered in any pose.

    Args:
        portrait: uint8 [512, 512, 3] RGB, scikit-image's ``astronaut``.
    """

    def __init__(self, portrait: Image) -> None:
        matte = head_matte(portrait)
        self._head = _enlarge(portrait)
        large = cv2.resize(matte, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
        self._matte = np.asarray(large, np.float32)
        self._plate = _sample(_enlarge(background_plate(portrait, matte)), *_window_grid())

    def render(self, performance: Performance) -> Image:
        """Render the person in one state.

        Returns:
            uint8 [512, 512, 3] RGB.
        """
        x, y = _undo_pose(*_window_grid(), performance)
        source_x, source_y, inside = _undo_expression(x, y, performance)
        head = _sample(self._head, source_x, source_y)
        for eye in EYES:
            lid_y, share, shade = _closing_lid(source_x, source_y, eye, performance.blink)
            lid = _sample(self._head, source_x, lid_y)
            head = (head + share[..., None] * (lid - head)) * shade[..., None]
        head += inside[..., None] * (_mouth_cavity(y, performance) - head)
        alpha = np.clip(_sample(self._matte, x, y), 0.0, 1.0)[..., None]
        return _to_bytes(alpha * head + (1.0 - alpha) * self._plate)


def head_matte(portrait: Image) -> FloatMap:
    """Cut out hair, face and neck.

    Returns:
        float32 [512, 512] in 0..1; it fades out within the black collar, where the head's motion has faded too.
    """
    labels = np.full(portrait.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(labels, (226, 92), (84, 94), 0, 0, 360, int(cv2.GC_PR_BGD), -1)
    cv2.ellipse(labels, (227, 88), (70, 72), 0, 0, 360, int(cv2.GC_PR_FGD), -1)
    cv2.ellipse(labels, (226, 95), (52, 66), 0, 0, 360, int(cv2.GC_FGD), -1)
    cv2.ellipse(labels, (223, 140), (33, 38), 0, 0, 360, int(cv2.GC_FGD), -1)
    cv2.rectangle(labels, (188, 160), (254, 192), int(cv2.GC_PR_FGD), -1)
    cv2.rectangle(labels, (196, 160), (246, 183), int(cv2.GC_FGD), -1)
    labels[205:] = cv2.GC_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(portrait, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    count, components, statistics, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(np.argmax(statistics[1:count, cv2.CC_STAT_AREA]))
    whole = cv2.morphologyEx((components == largest).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return np.asarray(cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 0.9), np.float32)


def background_plate(portrait: Image, matte: FloatMap) -> Image:
    """Paint over the head: the wall continues smoothly down to the rim of the neck ring, the cloth is inpainted below.

    Returns:
        uint8 [512, 512, 3] RGB.
    """
    hole = cv2.dilate((matte > 0.02).astype(np.uint8), np.ones((7, 7), np.uint8))
    columns, rows = np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32))
    below_rim = rows - PchipInterpolator(*zip(*RIM, strict=True))(np.clip(columns, RIM[0][0], RIM[-1][0]))
    known = ((hole == 0) & (rows < 148.0)).astype(np.float32)
    weight = cv2.GaussianBlur(known, (0, 0), 22.0)[..., None] + 1e-6
    wall = cv2.GaussianBlur(portrait.astype(np.float32) * known[..., None], (0, 0), 22.0) / weight
    wall += np.random.default_rng(1).normal(0.0, 1.6, wall.shape[:2])[..., None]
    cloth = np.minimum(cv2.inpaint(portrait, hole, 5, cv2.INPAINT_TELEA).astype(np.float32), 24.0)
    fill = wall + _smoothstep(below_rim + 0.5)[..., None] * (cloth - wall)
    rim = 1.0 - _smoothstep(np.abs(below_rim) - RIM_HALF_PX + 0.5)
    fill += rim[..., None] * (np.array(RIM_COLOUR) - fill)
    share = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 1.0)[..., None]
    return _to_bytes(portrait + share * (fill - portrait))


def _window_grid() -> tuple[FloatMap, FloatMap]:
    """Portrait coordinates of every output pixel, float32 [512, 512] each."""
    steps = (np.arange(FRAME_PX, dtype=np.float32) + 0.5) * (WINDOW_SIZE / FRAME_PX) - 0.5
    x, y = np.meshgrid(WINDOW_LEFT + steps, WINDOW_TOP + steps)
    return x.astype(np.float32), y.astype(np.float32)


def _enlarge(picture: Image) -> Image:
    """Enlarge by Lanczos and sharpen a little: the face is small in the portrait."""
    large = cv2.resize(picture, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_LANCZOS4)
    soft = cv2.GaussianBlur(large, (0, 0), 3.0)
    return np.asarray(cv2.addWeighted(large, 1.35, soft, -0.35, 0.0), np.uint8)


def _sample(enlarged: Image | FloatMap, x: FloatMap, y: FloatMap) -> FloatMap:
    """Read an enlarged picture or map at portrait coordinates; float32 [H, W] or [H, W, 3]."""
    map_x = (x + 0.5) * ENLARGEMENT - 0.5
    map_y = (y + 0.5) * ENLARGEMENT - 0.5
    read = cv2.remap(enlarged, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def _undo_pose(x: FloatMap, y: FloatMap, performance: Performance) -> tuple[FloatMap, FloatMap]:
    """Find the point of the straight head that each output pixel shows, by fixed-point iteration."""
    rotation = _rotation(performance)
    straight_x, straight_y = x, y
    for _ in range(14):
        depth = _depth(straight_x, straight_y) - PIVOT[2]
        from_pivot = np.stack((straight_x - PIVOT[0], straight_y - PIVOT[1], depth))
        turned = np.tensordot(rotation, from_pivot, axes=1)
        scale = CAMERA_DISTANCE / (CAMERA_DISTANCE - (turned[2] - depth))
        # The neck is held by the collar: the motion fades out between the chin and the black cloth.
        held = 1.0 - _smoothstep((straight_y - 174.0) / 28.0)
        move_x = PIVOT[0] + turned[0] * scale + performance.shift_px - straight_x
        move_y = PIVOT[1] + turned[1] * scale - straight_y
        straight_x, straight_y = x - held * move_x, y - held * move_y
    return straight_x.astype(np.float32), straight_y.astype(np.float32)


def _rotation(performance: Performance) -> FloatMap:
    """The rotation of the head as a matrix [3, 3] on (right, down, towards the viewer): roll after pitch after yaw."""
    sin, cos = math.sin(performance.yaw_rad), math.cos(performance.yaw_rad)
    yaw = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    sin, cos = math.sin(performance.pitch_rad), math.cos(performance.pitch_rad)
    pitch = np.array([[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin, cos]])
    sin, cos = math.sin(performance.roll_rad), math.cos(performance.roll_rad)
    roll = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(roll @ pitch @ yaw, np.float32)


def _depth(x: FloatMap, y: FloatMap) -> FloatMap:
    """Depth of the straight head: a dome with a nose and a chin, in pixels of the portrait."""
    radius2 = ((x - HEAD_CENTRE[0]) / HEAD_RADII[0]) ** 2 + ((y - HEAD_CENTRE[1]) / HEAD_RADII[1]) ** 2
    dome = HEAD_DEPTH * np.maximum(0.0, 1.0 - radius2)
    nose = 9.0 * np.exp(-(((x - NOSE_TIP[0]) / 8.0) ** 2) - ((y - NOSE_TIP[1]) / 12.0) ** 2)
    chin = 10.0 * np.exp(-(((x - 222.0) / 24.0) ** 2) - ((y - 165.0) / 16.0) ** 2)
    return (dome + nose + chin).astype(np.float32)


def _undo_expression(x: FloatMap, y: FloatMap, performance: Performance) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Find the portrait's pixel that each point of the straight head shows.

    Returns:
        Portrait coordinates x and y, and the share of the open mouth's inside, 0..1; float32 [512, 512] each.
    """
    x, y = _undo_brows_and_gaze(x, y, performance)
    around = np.exp(-(((x - MOUTH_CENTRE_X) / 30.0) ** 2) - ((y - 146.0) / 15.0) ** 2)
    x = x + performance.narrow * around * (x - MOUTH_CENTRE_X)
    y = y - 5.0 * performance.narrow * around * np.clip(((x - MOUTH_CENTRE_X) / MOUTH_HALF_WIDTH) ** 2, 0.0, 1.4)
    y, inside = _undo_jaw(x, y, performance.jaw_px)
    return x.astype(np.float32), y.astype(np.float32), inside


def _undo_brows_and_gaze(x: FloatMap, y: FloatMap, performance: Performance) -> tuple[FloatMap, FloatMap]:
    """Raise the brows with the skin around them, and move the irises within the eyes."""
    move_x = np.zeros_like(x)
    move_y = np.zeros_like(y)
    for eye in EYES:
        off_centre = ((x - eye.centre_x) / (1.3 * eye.half_width)) ** 2
        move_y += performance.brow_px * np.exp(-off_centre - ((y - eye.brow_y + 3.0) / 4.5) ** 2)
        iris = ((x - eye.centre_x) / 6.0) ** 2 + ((y - 0.5 * (eye.upper_y + eye.lower_y)) / 3.5) ** 2
        move_x -= performance.gaze_px * np.exp(-iris)
    return x + move_x, y + move_y


def _closing_lid(x: FloatMap, y: FloatMap, eye: Eye, blink: float) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Draw the upper lid down over the eye: its skin stretches from the brow to the lid's edge.

    Returns:
        Portrait coordinate y of the stretched skin, the share of the skin (0..1), and the brightness under the lashes
        at the edge (at most 1); float32 [512, 512] each.
    """
    arch = np.clip(1.0 - ((x - eye.centre_x) / eye.half_width) ** 2, 0.0, None)
    lid = eye.corner_y - (eye.corner_y - eye.upper_y) * arch
    travel = blink * (eye.lower_y - eye.upper_y - 0.6) * arch
    edge = lid + travel
    skin_y = eye.brow_y + (y - eye.brow_y) * (lid - eye.brow_y) / (edge - eye.brow_y)
    moved = _smoothstep(travel / 0.8)
    share = moved * (1.0 - _smoothstep((y - edge) / 0.8 + 0.5)) * (y > eye.brow_y)
    lashes = np.exp(-(((y - edge) / 0.75) ** 2)) * np.sqrt(arch)
    return skin_y.astype(np.float32), share.astype(np.float32), (1.0 - 0.62 * moved * lashes).astype(np.float32)


def _undo_jaw(x: FloatMap, y: FloatMap, jaw_px: float) -> tuple[FloatMap, FloatMap]:
    """Move the lower lip and the chin by jaw_px; what opens between the teeth and the lip is the mouth's inside."""
    lip_curve = PchipInterpolator(LIP_X, LIP_Y)
    lip_y = lip_curve(np.clip(x, LIP_X[0], LIP_X[-1])).astype(np.float32)
    off_centre = (x - MOUTH_CENTRE_X) / MOUTH_HALF_WIDTH
    lip_share = np.clip(1.0 - off_centre**2, 0.0, None)
    chin_share = 0.75 * np.exp(-((off_centre / 1.6) ** 2))

    def travel(at_y: FloatMap) -> FloatMap:
        below = _smoothstep((at_y - lip_y) / 24.0)
        held = 1.0 - _smoothstep((at_y - 174.0) / 18.0)
        return np.asarray(jaw_px * held * (lip_share + below * (chin_share - lip_share)), np.float32)

    edge = lip_y + jaw_px * lip_share
    source_y = np.maximum(y, lip_y)
    for _ in range(8):
        source_y = np.maximum(y - travel(source_y), lip_y)
    inside = _smoothstep((y - lip_y) / 1.2 + 0.5) * (1.0 - _smoothstep((y - edge) / 1.2 + 0.5))
    inside *= lip_share > 0.0
    return np.where(y > edge, source_y, y).astype(np.float32), inside.astype(np.float32)


def _mouth_cavity(y: FloatMap, performance: Performance) -> FloatMap:
    """Colour of the mouth's inside, float32 [H, W, 3]: dark under the teeth, the tongue below."""
    tongue = _smoothstep((y - 151.0) / 7.0) * min(1.0, max(0.0, performance.jaw_px) / 7.0)
    dark = np.array([52.0, 18.0, 18.0], np.float32)
    pink = np.array([138.0, 66.0, 62.0], np.float32)
    return (dark + tongue[..., None] * (pink - dark)).astype(np.float32)


def _smoothstep(t: NDArray[np.floating]) -> FloatMap:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def _to_bytes(picture: FloatMap) -> Image:
    """Round to uint8 and clip."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
