"""The small world that the miniature suite asks about: its facts, idioms, people and things, all written for it.

Words are few and short so that each becomes one token of a vocabulary of a thousand.
"""

from __future__ import annotations

# Kind of choice → (three wordings of the question, the sentence that answers), and (subject, answer) pairs.
FACTS: dict[str, tuple[tuple[tuple[str, str, str], str], tuple[tuple[str, str], ...]]] = {
    "place": (
        (("Where does a {} live?", "Where would you look for a {}?", "A {} has its home in what place?"),
         "A {} lives in a {}"),
        (("bear", "cave"), ("bat", "cave"), ("fish", "river"), ("crab", "river"), ("bird", "nest"),
         ("robin", "nest"), ("camel", "desert"), ("snake", "desert"), ("cow", "farm"), ("hen", "farm")),
    ),
    "tool": (
        (("What do you use to {}?", "What helps you to {}?", "With what can you {}?"), "To {} you use a {}"),
        (("cut paper", "knife"), ("slice bread", "knife"), ("write", "pen"), ("sign a letter", "pen"),
         ("dig", "spade"), ("plant a tree", "spade"), ("open a lock", "key"), ("open a door", "key"),
         ("paint a wall", "brush"), ("clean your teeth", "brush")),
    ),
    "person": (
        (("Who {}?", "Whose work is it that he {}?", "What do you call one who {}?"), "One who {} is a {}"),
        (("bakes bread", "baker"), ("bakes cakes", "baker"), ("heals the sick", "doctor"),
         ("helps the ill", "doctor"), ("teaches children", "teacher"), ("gives lessons", "teacher"),
         ("flies a plane", "pilot"), ("steers a plane", "pilot"), ("grows wheat", "farmer"),
         ("keeps cows", "farmer")),
    ),
}  # fmt: skip

# Idiom → sentences that call for it; the gap is written as upstream writes it.
IDIOMS: dict[str, tuple[str, str, str]] = {
    "画蛇添足": ("事情做完了又多做一步，真是#idiom#。", "这一笔是多余的，#idiom#。", "够了，再加就是#idiom#。"),
    "守株待兔": ("他不干活，只等好运，#idiom#。", "不要#idiom#，好运不会自己来。", "坐着等东西来，这叫#idiom#。"),
    "亡羊补牢": ("丢了东西再修门，#idiom#。", "出错以后马上改正，#idiom#，还不晚。", "这次错了没关系，#idiom#就好。"),
    "井底之蛙": ("他没见过大海，是#idiom#。", "不出门看世界，就成了#idiom#。", "他只知道小地方的事，像#idiom#。"),
    "对牛弹琴": ("听的人不懂，等于#idiom#。", "跟他讲音乐，像#idiom#。", "他听不懂，别#idiom#了。"),
    "狐假虎威": ("他借别人的力量吓人，#idiom#。", "有大王在后面，他才#idiom#。", "没有老虎，狐狸不能#idiom#。"),
    "一箭双雕": ("一次做成两件事，#idiom#。", "这个办法好，可以#idiom#。", "去买书又见了朋友，#idiom#。"),
    "雪中送炭": ("天冷时朋友送来衣服，真是#idiom#。", "在困难时帮助人，就是#idiom#。", "我没钱时他给我钱，#idiom#。"),
    "半途而废": ("学了一半就不学了，#idiom#。", "做事要做完，不要#idiom#。", "走到中间就回来，这是#idiom#。"),
    "水落石出": ("真相终于清楚了，#idiom#。", "查了很久，事情#idiom#。", "等一等，事情会#idiom#的。"),
    "杯弓蛇影": ("他自己吓自己，#idiom#。", "没有危险却害怕，是#idiom#。", "那不是蛇，你是#idiom#。"),
    "鹤立鸡群": ("他比大家都高，#idiom#。", "她的才能在众人中#idiom#。", "在一群孩子里他很突出，#idiom#。"),
    "掩耳盗铃": ("他以为别人不知道，是#idiom#。", "骗自己没有用，别#idiom#。", "闭上眼睛就当没有事，#idiom#。"),
    "刻舟求剑": ("情况变了还用老办法，#idiom#。", "船走了他还在原处找，#idiom#。", "不看变化的人，好像#idiom#。"),
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
