"""The Atari games under their JAT names: which ROM each one is, and which of the joystick's 18 actions it knows."""

from __future__ import annotations

import numpy as np

LEVELS = (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
"""(256,) float32: what JAT's processor (`jat/processing_jat.py`) makes of each grey byte, bit for bit."""

_JAT = """
alien amidar assault asterix asteroids atlantis bank_heist battle_zone beam_rider berzerk bowling boxing breakout
centipede chopper_command crazy_climber defender demon_attack double_dunk enduro fishing_derby freeway frostbite
gopher gravitar hero ice_hockey jamesbond kangaroo krull kung_fu_master montezuma_revenge ms_pacman name_this_game
phoenix pitfall pong private_eye qbert riverraid road_runner robotank seaquest skiing solaris space_invaders
star_gunner surround tennis time_pilot tutankham up_n_down venture video_pinball wizard_of_wor yars_revenge zaxxon
"""

_ONLY_DQN_REPLAY = "air_raid carnival elevator_action journey_escape pooyan"
"""Its 60 games are these and JAT's, less defender and surround."""

ROMS = {rom.replace("_", ""): rom for rom in (_JAT + _ONLY_DQN_REPLAY).split()}
"""Every game's name, in JAT's order -> the name of its ROM in ale-py."""

SAMPLE_FACTORY = {
    "asteroids": "asteroid",
    "kungfumaster": "kongfumaster",
    "montezumarevenge": "montezuma",
    "privateeye": "privateye",
}
"""The games that Sample Factory spells in a way of its own."""

ACTIONS = (
    *("NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT", "UPFIRE"),
    *("RIGHTFIRE", "LEFTFIRE", "DOWNFIRE", "UPRIGHTFIRE", "UPLEFTFIRE", "DOWNRIGHTFIRE", "DOWNLEFTFIRE"),
)
"""All that the joystick can do, in the emulator's order."""

_FEWER = {
    (0, 2, 5): "freeway",
    (0, 3, 4): "skiing",
    (0, 1, 3, 4): "breakout",
    (0, 1, 11, 12): "atlantis",
    (0, 2, 3, 4, 5): "surround",
    (0, 1, 2, 3, 4, 5): "qbert",
    (0, 1, 2, 5, 10, 13): "bowling pooyan upndown",
    (0, 1, 3, 4, 11, 12): "airraid carnival demonattack namethisgame pong spaceinvaders",
    (0, 1, 2, 3, 4, 11, 12): "assault",
    (0, 1, 2, 3, 4, 10, 11, 12): "gopher",
    (0, 1, 3, 4, 5, 11, 12, 13): "phoenix",
    (0, 2, 3, 4, 5, 10, 11, 12): "tutankham",
    (0, 1, 2, 3, 4, 5, 10, 11, 12): "videopinball",
    (0, 1, 2, 3, 4, 6, 7, 11, 12): "beamrider",
    (0, 1, 3, 4, 5, 8, 9, 11, 12): "enduro",
    (0, 2, 3, 4, 5, 6, 7, 8, 9): "asterix crazyclimber mspacman",
    (0, 1, 2, 3, 4, 5, 10, 11, 12, 13): "amidar timepilot wizardofwor",
    (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15): "asteroids",
    (0, 2, 3, 4, 5, 8, 9, 11, 12, 13, 14, 15, 16, 17): "kungfumaster",
    (0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17): "journeyescape",
}
"""The games in which not every action does something: their minimal sets, as the emulator tells them."""

_MINIMAL = {game: actions for actions, games in _FEWER.items() for game in games.split()}


def minimal_actions(game: str) -> tuple[int, ...]:
    """The actions that do something in a game: entry i is the place in `ACTIONS` of the game's own action i."""
    return _MINIMAL.get(game, tuple(range(len(ACTIONS))))
