"""The phrases that `hearken.data.words` chooses from. Plain data, ASCII only.

In a fault's phrase {how} is an adjective for its severity, {what} its detail and {when} the
time words. `{when}` always comes last in its clause, so that any time phrase fits.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CLEAN", "EFFORT", "FAULTS", "HOW", "PACE", "VERDICTS", "WHEN"]

VERDICTS: Mapping[int, tuple[str, ...]] = {
    5: (
        "overall the quality is excellent",
        "this is an excellent recording",
        "the overall quality is excellent",
        "altogether it sounds excellent",
        "as a whole the clip is excellent",
        "the clip sounds excellent",
    ),
    4: (
        "overall the quality is good",
        "this is a good recording",
        "the overall quality is good",
        "altogether it sounds good",
        "as a whole the clip is good",
        "the clip still sounds good",
    ),
    3: (
        "overall the quality is fair",
        "this is a fair recording",
        "the overall quality is only fair",
        "altogether it sounds fair",
        "as a whole the clip is acceptable",
        "the clip is of middling quality",
    ),
    2: (
        "overall the quality is poor",
        "this is a poor recording",
        "the overall quality is poor",
        "altogether it sounds poor",
        "as a whole the clip is poor",
        "the clip is unpleasant to hear",
    ),
    1: (
        "overall the quality is bad",
        "this is a bad recording",
        "the overall quality is very bad",
        "altogether it sounds terrible",
        "as a whole the clip is bad",
        "the clip is hardly usable",
    ),
}

CLEAN = (
    "the voice is clear and nothing disturbs it",
    "the speech is clean, natural and steady",
    "there is no noise and no distortion",
    "nothing is wrong with the sound",
    "the talker is clear and the background is quiet",
    "no fault can be heard",
    "the voice sounds natural and the pace is normal",
    "it is clean speech without any fault",
)

EFFORT: Mapping[int, tuple[str, ...]] = {
    5: ("every word is easy to follow", "listening takes no effort", "the words are all clear"),
    4: ("the words are easy to follow", "listening takes little effort", "speech stays clear"),
    3: ("following it takes some effort", "some words need attention", "one must listen closely"),
    2: ("the words are hard to follow", "listening takes much effort", "many words are unclear"),
    1: (
        "the words can hardly be followed",
        "listening is exhausting",
        "most words cannot be understood",
    ),
}

PACE = (
    "the talker keeps a normal pace",
    "the speed is normal",
    "the pace of the speech is normal",
    "the talker speaks at a normal speed",
)

HOW: tuple[tuple[str, ...], ...] = (
    ("faint", "slight", "weak", "mild", "soft", "light"),
    ("clear", "noticeable", "moderate", "obvious", "distinct", "marked"),
    ("strong", "heavy", "severe", "extreme", "intense", "very strong"),
)

WHEN: Mapping[str, tuple[str, ...]] = {
    "throughout": ("throughout", "all the time", "from start to end", "in the whole clip"),
    "most": ("for most of the clip", "during most of it", "through the central part"),
    "first half": ("in the first half", "during the first half", "for the first half"),
    "second half": ("in the second half", "during the second half", "for the second half"),
    "start": ("near the start", "early on", "at the beginning", "close to the start"),
    "middle": ("around the middle", "in the middle", "about halfway", "near the middle"),
    "end": ("near the end", "towards the end", "late in the clip", "close to the end"),
}

FAULTS: Mapping[str, tuple[str, ...] | Mapping[str, tuple[str, ...]]] = {
    "background_noise": (
        "{how} {what} runs behind the voice {when}",
        "there is {how} {what} in the background {when}",
        "{how} {what} is heard {when}",
        "the voice is mixed with {how} {what} {when}",
        "one hears {how} {what} {when}",
        "the background holds {how} {what} {when}",
        "{how} background noise, {what}, covers the voice {when}",
    ),
    "noise_event": (
        "a {how} {what} is heard {when}",
        "there is a {how} {what} {when}",
        "a {what} comes in {when}, {how} in level",
        "one hears a {how} {what} {when}",
        "a {how} sound of {what} falls on the speech {when}",
        "a {how} {what} disturbs the talker {when}",
    ),
    "competing_talker": (
        "a {how} second voice talks {when}",
        "another talker is heard, {how} in level, {when}",
        "there is a {how} competing talker {when}",
        "a second person speaks at the same time, with {how} level, {when}",
        "{how} speech of someone else is heard {when}",
        "the voice is disturbed by a {how} other talker {when}",
    ),
    "hum": (
        "a {how} hum is heard {when}",
        "there is {how} mains hum {when}",
        "a {how} low hum runs under the voice {when}",
        "{how} electrical hum is present {when}",
        "one hears a {how} hum {when}",
        "a {how} buzz of the mains lies below the speech {when}",
    ),
    "reverberation": (
        "there is {how} reverberation {when}",
        "the room adds {how} echo {when}",
        "the voice has {how} room sound {when}",
        "{how} reverberation blurs the words {when}",
        "the talker sounds far away, with {how} reverberation {when}",
        "a {how} echo of the room follows the words {when}",
    ),
    "clipping": (
        "there is {how} clipping {when}",
        "{how} clipping makes loud parts harsh {when}",
        "the loud parts are cut off, a {how} clipping {when}",
        "the voice is overloaded, with {how} clipping {when}",
        "one hears {how} clipping of the voice {when}",
        "the peaks crackle from {how} clipping {when}",
    ),
    "band_limiting": {
        "": (
            "the sound is dull, a {how} loss of high tones {when}",
            "the high frequencies are missing, a {how} band limit {when}",
            "there is {how} muffling of the voice {when}",
            "the voice is muffled, a {how} loss of treble {when}",
            "the bandwidth is narrow, a {how} limit {when}",
            "{how} band limiting makes the voice dull {when}",
        ),
        "no bass": (
            "the voice sounds like a telephone, a {how} band limit {when}",
            "high and low tones are missing, a {how} band limit {when}",
            "the sound is thin and dull, a {how} band limit {when}",
            "the bandwidth is narrow and thin, a {how} limit {when}",
            "{how} band limiting makes the voice thin {when}",
            "bass and treble are gone, a {how} loss {when}",
        ),
    },
    "codec": (
        "there are {how} codec artefacts {when}",
        "the coding adds {how} artefacts {when}",
        "{how} coding distortion is heard {when}",
        "the voice shows {how} traces of a codec {when}",
        "a low bit rate gives {how} distortion {when}",
        "compression leaves {how} artefacts {when}",
    ),
    "musical_noise": (
        "there is {how} musical noise {when}",
        "{how} chirping tones are left around the voice {when}",
        "noise removal leaves {how} musical noise {when}",
        "one hears {how} warbling tones {when}",
        "short tones flicker behind the voice, {how} musical noise {when}",
        "{how} bubbling tones surround the speech {when}",
    ),
    "over_suppression": (
        "parts of the voice are eaten away, a {how} over-suppression {when}",
        "there is {how} over-suppression {when}",
        "noise removal takes away speech, a {how} loss {when}",
        "soft sounds are missing through {how} over-suppression {when}",
        "the voice is hollow from {how} suppression {when}",
        "word ends vanish, a {how} over-suppression {when}",
    ),
    "robotic": (
        "the voice sounds robotic, a {how} effect {when}",
        "there is a {how} robotic tone {when}",
        "the talker has a {how} metallic voice {when}",
        "a {how} buzzing, robotic quality is heard {when}",
        "the voice sounds like a machine, a {how} effect {when}",
        "the pitch is flat with a {how} robotic sound {when}",
    ),
    "speed_change": {
        "": ("the pace is not normal, a {how} change of speed {when}",),
        "fast": (
            "the talker is too fast, a {how} change of speed {when}",
            "the speech is hurried, a {how} speed-up {when}",
            "there is a {how} speed-up of the speech {when}",
            "the pace is fast, a {how} deviation {when}",
            "the words come too quickly, a {how} speed-up {when}",
            "the speech runs fast, with {how} hurry {when}",
        ),
        "slow": (
            "the talker is too slow, a {how} change of speed {when}",
            "the speech is dragging, a {how} slow-down {when}",
            "there is a {how} slow-down of the speech {when}",
            "the pace is slow, a {how} deviation {when}",
            "the words come too slowly, a {how} slow-down {when}",
            "the speech runs slow, with {how} dragging {when}",
        ),
    },
    "packet_loss": (
        "there is {how} packet loss {when}",
        "lost packets break the voice, a {how} fault {when}",
        "the speech breaks up with {how} packet loss {when}",
        "pieces of speech are lost, a {how} packet loss {when}",
        "the voice stutters from {how} packet loss {when}",
        "{how} gaps of lost packets are heard {when}",
    ),
    "clicks": (
        "there are {how} clicks {when}",
        "{how} clicks are heard {when}",
        "one hears {how} pops and clicks {when}",
        "{how} crackling clicks disturb the speech {when}",
        "sharp ticks fall on the voice, {how} clicks {when}",
        "the sound crackles with {how} clicks {when}",
    ),
    "gain_jump": {
        "": ("there is a {how} jump in level {when}",),
        "louder": (
            "there is a {how} jump up in level {when}",
            "the voice gets louder suddenly, a {how} jump {when}",
            "the level jumps up, a {how} change {when}",
            "a {how} rise in level is heard {when}",
            "the sound is suddenly louder, a {how} jump {when}",
            "a {how} loud stretch comes without warning {when}",
        ),
        "quieter": (
            "there is a {how} drop in level {when}",
            "the voice gets quieter suddenly, a {how} drop {when}",
            "the level drops, a {how} change {when}",
            "a {how} fall in level is heard {when}",
            "the sound is suddenly quieter, a {how} drop {when}",
            "a {how} quiet stretch comes without warning {when}",
        ),
    },
    "dropout": (
        "there is a {how} dropout {when}",
        "the sound cuts out, a {how} dropout {when}",
        "a {how} gap breaks the speech {when}",
        "the voice is gone for a moment, a {how} dropout {when}",
        "a {how} hole in the sound is heard {when}",
        "the signal drops out, a {how} gap {when}",
    ),
    "unnatural_pause": (
        "there is a {how} unnatural pause {when}",
        "the talker stops oddly, a {how} pause {when}",
        "a {how} pause breaks the sentence {when}",
        "the speech halts, a {how} unnatural pause {when}",
        "a {how} silence splits the words {when}",
        "an odd pause is heard, {how} in length, {when}",
    ),
}
