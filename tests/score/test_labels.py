from edgelm.score.labels import SIDES, place

FRAME = (0, 0, 300, 200)


def boxes(labels, sides, height=12):
    return [side.box(x, y, width, height) for (x, y, width), side in zip(labels, sides, strict=True)]


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def test_a_lone_label_stands_right_of_its_mark():
    assert place([(100, 100, 40)], [(100, 100)], 12, FRAME) == [SIDES[0]]


def test_a_label_at_the_edge_stays_inside():
    labels = [(290, 100, 40)]
    [box] = boxes(labels, place(labels, [(290, 100)], 12, FRAME))
    assert box[2] <= 300


def test_neighbours_do_not_cover_each_other_or_a_mark():
    labels = [(100, 100, 60), (130, 102, 60), (115, 110, 60), (100, 90, 60)]
    marks = [(x, y) for x, y, _ in labels]
    placed = boxes(labels, place(labels, marks, 12, FRAME))
    assert not any(overlap(a, b) for i, a in enumerate(placed) for b in placed[:i])
    assert not any(overlap(box, (x - 3, y - 3, x + 3, y + 3)) for box in placed for x, y in marks)


def test_no_labels_need_no_place():
    assert place([], [], 12, FRAME) == []


def test_a_label_keeps_clear_of_a_line():
    labels, line = [(100, 100, 40)], (100, 98, 250, 102)
    [box] = boxes(labels, place(labels, [(100, 100)], 12, FRAME, [line]))
    assert not overlap(box, line)
