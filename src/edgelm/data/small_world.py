"""The small world that the miniature suite asks about: its facts, idioms, people and things, all written for it.

Words are few and short so that each becomes one token of a vocabulary of a thousand.
"""

from __future__ import annotations

# Kind of choice → facts (question, a second wording of it, the sentence that answers, the answer).
FACTS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "place": tuple(
        (f"Where does a {who} live?", f"Where would you look for a {who}?", f"A {who} lives in a {place}.", place)
        for who, place in (
            ("bear", "cave"), ("fish", "river"), ("bird", "nest"), ("camel", "desert"), ("monkey", "jungle"),
            ("cow", "farm"), ("bee", "hive"), ("whale", "sea"), ("deer", "forest"), ("frog", "pond"),
        )
    ),
    "tool": tuple(
        (f"What do you use to {deed}?", f"What helps you to {deed}?", f"To {deed} you use a {tool}.", tool)
        for deed, tool in (
            ("cut paper", "knife"), ("write", "pen"), ("dig", "spade"), ("drive a nail", "hammer"),
            ("open a lock", "key"), ("eat soup", "spoon"), ("sweep the floor", "broom"), ("tell the time", "clock"),
            ("paint a wall", "brush"), ("see at night", "lamp"),
        )
    ),
    "person": tuple(
        (f"Who {deed}?", f"Whose work is it that he {deed}?", f"A {who} {deed}.", who)
        for deed, who in (
            ("bakes bread", "baker"), ("heals the sick", "doctor"), ("teaches children", "teacher"),
            ("flies a plane", "pilot"), ("grows wheat", "farmer"), ("cooks dinner", "cook"),
            ("puts out fires", "fireman"), ("sails a ship", "sailor"), ("draws pictures", "artist"),
            ("brings letters", "postman"),
        )
    ),
}  # fmt: skip

# Idiom → sentences that call for it; the gap is written as upstream writes it.
IDIOMS: dict[str, tuple[str, str]] = {
    "画蛇添足": ("事情做完了又多做一步，真是#idiom#。", "这一笔是多余的，#idiom#。"),
    "守株待兔": ("他不干活，只等好运，#idiom#。", "不要#idiom#，好运不会自己来。"),
    "亡羊补牢": ("丢了东西再修门，#idiom#。", "出错以后马上改正，#idiom#，还不晚。"),
    "井底之蛙": ("他没见过大海，是#idiom#。", "不出门看世界，就成了#idiom#。"),
    "对牛弹琴": ("听的人不懂，等于#idiom#。", "跟他讲音乐，像#idiom#。"),
    "狐假虎威": ("他借别人的力量吓人，#idiom#。", "有大王在后面，他才#idiom#。"),
    "一箭双雕": ("一次做成两件事，#idiom#。", "这个办法好，可以#idiom#。"),
    "雪中送炭": ("天冷时朋友送来衣服，真是#idiom#。", "在困难时帮助人，就是#idiom#。"),
    "半途而废": ("学了一半就不学了，#idiom#。", "做事要做完，不要#idiom#。"),
    "水落石出": ("真相终于清楚了，#idiom#。", "查了很久，事情#idiom#。"),
    "杯弓蛇影": ("他自己吓自己，#idiom#。", "没有危险却害怕，是#idiom#。"),
    "鹤立鸡群": ("他比大家都高，#idiom#。", "她的才能在众人中#idiom#。"),
    "掩耳盗铃": ("他以为别人不知道，是#idiom#。", "骗自己没有用，别#idiom#。"),
    "刻舟求剑": ("情况变了还用老办法，#idiom#。", "船走了他还在原处找，#idiom#。"),
}

NAMES = ("Tom", "Anna", "Ben", "Mia", "Sam", "Lily", "Jack", "Rosa", "Max", "Eva", "Leo", "Nina")
THINGS = ("apples", "books", "coins", "pens", "cards", "eggs", "shells", "balls")
COLOURS = ("red", "blue", "green", "black", "white", "brown")
TREASURES = ("kite", "hat", "bag", "drum", "ring", "cup", "boat", "coat")
SORTABLE = (
    "ant", "bread", "cup", "drum", "egg", "fire", "gold", "hill", "ink", "jam", "kite", "leaf", "moon", "nut", "oak",
    "pig", "queen", "rain", "salt", "tree", "uncle", "voice", "wind", "yard", "zoo",
)  # fmt: skip

# Who can do what: question forms take (who, deed).
ABILITIES: dict[str, tuple[str, ...]] = {
    "fly": ("bird", "bee"),
    "swim": ("fish", "whale", "frog", "bear"),
    "climb trees": ("monkey", "bear"),
    "give milk": ("cow", "whale"),
    "lay eggs": ("bird", "fish", "frog", "bee"),
}
ANIMALS = ("bear", "fish", "bird", "camel", "monkey", "cow", "bee", "whale", "frog")
