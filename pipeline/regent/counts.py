"""What preparing JAT again must give: rows and states that REGENT made of each task (regent-research/regent).

The tables hold for JAT's own episodes, the demonstrations and states of the paper, and rows of 32 (Atari) or 256 steps.
Rows and states are those that retrieve.
"""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """Of one task.

    Attributes:
        rows: that hold its queries.
        states: in these rows; None where only the domain's total is known.
        missions: that take part, where there are missions.
    """

    rows: int
    states: int | None = None
    missions: int | None = None


_ATARI = {
    "amidar": 3142,
    "assault": 3132,
    "asterix": 3181,
    "asteroids": 3127,
    "atlantis": 3128,
    "bankheist": 3156,
    "battlezone": 3136,
    "beamrider": 3131,
    "berzerk": 3127,
    "bowling": 3148,
    "boxing": 3227,
    "breakout": 3128,
    "centipede": 3176,
    "choppercommand": 3144,
    "crazyclimber": 3134,
    "defender": 3127,
    "demonattack": 3127,
    "doubledunk": 3175,
    "enduro": 3126,
    "fishingderby": 3155,
    "freeway": 3131,
    "frostbite": 3146,
    "gopher": 3128,
    "gravitar": 3202,
    "hero": 3144,
    "icehockey": 3138,
    "jamesbond": 3131,
    "kangaroo": 3160,
    "krull": 3162,
    "kungfumaster": 3143,
    "montezumarevenge": 3168,
    "namethisgame": 3131,
    "phoenix": 3127,
    "pitfall": 3131,
    "privateeye": 3158,
    "qbert": 3136,
    "riverraid": 3157,
    "roadrunner": 3150,
    "robotank": 3133,
    "seaquest": 3138,
    "skiing": 3271,
    "solaris": 3129,
    "surround": 3143,
    "tennis": 3129,
    "timepilot": 3132,
    "tutankham": 3127,
    "upndown": 3127,
    "venture": 3148,
    "videopinball": 3130,
    "wizardofwor": 3138,
    "yarsrevenge": 3129,
    "zaxxon": 3133,
}

_BABYAI = {  # missions, rows, states
    "action-obj-door": (60, 16400, 100086),
    "blocked-unlock-pickup": (1, 2920, 100057),
    "boss-level": (106, 2123, 100012),
    "boss-level-no-unlock": (115, 2300, 100817),
    "find-obj-s5": (3, 3340, 100093),
    "go-to": (36, 1840, 100915),
    "go-to-door": (12, 19220, 100017),
    "go-to-imp-unlock": (36, 814, 103159),
    "go-to-local": (36, 19860, 100047),
    "go-to-obj": (18, 20200, 100055),
    "go-to-obj-door": (48, 17760, 100075),
    "go-to-red-ball": (2, 19800, 100040),
    "go-to-red-ball-grey": (1, 16960, 100038),
    "go-to-red-ball-no-dists": (1, 20180, 100077),
    "go-to-red-blue-ball": (2, 16940, 100064),
    "go-to-seq": (97, 1940, 100796),
    "key-corridor": (1, 900, 100037),
    "mini-boss-level": (222, 8307, 100188),
    "move-two-across-s8n9": (877, 2466, 100060),
    "one-room-s8": (1, 17000, 100031),
    "open": (12, 2640, 100688),
    "open-door": (14, 13800, 100052),
    "open-doors-order-n4": (66, 8340, 100117),
    "open-red-door": (1, 21200, 100072),
    "open-two-doors": (30, 7360, 100165),
    "pickup": (36, 1700, 100513),
    "pickup-above": (18, 3400, 100006),
    "pickup-dist": (34, 18660, 100007),
    "pickup-loc": (210, 15825, 100087),
    "put-next": (286, 5720, 100305),
    "put-next-local": (306, 8320, 100143),
    "synth": (93, 1860, 100207),
    "synth-loc": (122, 2440, 100330),
    "synth-seq": (129, 2580, 100776),
    "unblock-pickup": (36, 1721, 100467),
    "unlock": (12, 1307, 100899),
    "unlock-local": (1, 7120, 100038),
    "unlock-pickup": (6, 5120, 100296),
    "unlock-to-unlock": (1, 2320, 100488),
}

_METAWORLD = [
    "assembly",
    "basketball",
    "button-press-topdown-wall",
    "button-press-topdown",
    "button-press-wall",
    "button-press",
    "coffee-button",
    "coffee-pull",
    "coffee-push",
    "dial-turn",
    "disassemble",
    "door-close",
    "door-open",
    "drawer-close",
    "drawer-open",
    "faucet-close",
    "faucet-open",
    "hammer",
    "handle-press-side",
    "handle-press",
    "handle-pull-side",
    "handle-pull",
    "lever-pull",
    "peg-insert-side",
    "peg-unplug-side",
    "pick-out-of-hole",
    "pick-place-wall",
    "pick-place",
    "plate-slide-back-side",
    "plate-slide-back",
    "plate-slide-side",
    "plate-slide",
    "push-back",
    "push-wall",
    "push",
    "reach-wall",
    "reach",
    "shelf-place",
    "soccer",
    "stick-pull",
    "stick-push",
    "sweep-into",
    "sweep",
    "window-close",
    "window-open",
]

SEEN: dict[str, dict[str, Counts]] = {
    "atari": {task: Counts(rows) for task, rows in _ATARI.items()},
    "babyai": {task: Counts(rows, states, missions) for task, (missions, rows, states) in _BABYAI.items()},
    "metaworld": {task: Counts(1000, 100_000) for task in _METAWORLD},
    "mujoco": {
        "ant": Counts(401, 100_144),
        "doublependulum": Counts(401, 100_016),
        "humanoid": Counts(415, 100_025),
        "pendulum": Counts(495, 100_021),
        "pusher": Counts(1000, 100_000),
        "reacher": Counts(2000, 100_000),
        "standup": Counts(400, 100_000),
        "swimmer": Counts(400, 100_000),
        "walker": Counts(407, 100_024),
    },
}
"""Tasks that REGENT trains on, by domain. Queries are leading rows, or rows of missions in turn."""

UNSEEN: dict[str, dict[str, Counts]] = {
    "atari": {
        "alien": Counts(711, 22_684),
        "mspacman": Counts(456, 14_520),
        "pong": Counts(263, 8_303),
        "spaceinvaders": Counts(1000, 31_988),
        "stargunner": Counts(1000, 31_959),
    },
    "babyai": {},
    "metaworld": {
        task: Counts(100, 10_000) for task in ("bin-picking", "box-close", "door-lock", "door-unlock", "hand-insert")
    },
    "mujoco": {"halfcheetah": Counts(400, 100_000), "hopper": Counts(219, 45_652)},
}
"""Tasks held out from training, by domain. Queries are the pool itself."""

SEEN_STATES = {"atari": 5_200_930, "babyai": 3_912_320, "metaworld": 4_500_000, "mujoco": 900_230}
"""States of all seen tasks of each domain."""

TRAINING_ITEMS = 14_195_712
"""States that are left for training, as REGENT splits each seen task: 27,726 steps of 512, those of its checkpoint."""


def expected(domain: str, task: str) -> Counts | None:
    """What preparing a task of JAT must give; None for what REGENT did not prepare."""
    return SEEN.get(domain, {}).get(task) or UNSEEN.get(domain, {}).get(task)
