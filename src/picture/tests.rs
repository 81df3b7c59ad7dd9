//! What a picture promises, and samples to look at: `cargo test --lib picture`, then `target/pictures/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use resvg::tiny_skia::Pixmap;
use resvg::usvg::{Group, Node, Rect};

use super::*;

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn axis(label: &str, unit: Unit) -> Axis {
    Axis { label: label.to_owned(), unit }
}

fn panel(title: &str, chart: Chart) -> Panel {
    Panel { title: title.to_owned(), chart }
}

fn event(at: f64, label: &str) -> Event {
    Event { at: secs(at), label: label.to_owned() }
}

fn layer(name: &str, colour: Colour, shape: Shape) -> Layer {
    Layer { name: name.to_owned(), colour, shape }
}

/// From 0 to 1, always the same.
fn noise(at: u32) -> f64 {
    f64::from(at.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 8)
        / f64::from(1 << 24)
}

/// Text and where it stands.
fn texts(svg: &str) -> Vec<(String, Rect)> {
    fn walk(group: &Group, found: &mut Vec<(String, Rect)>) {
        for node in group.children() {
            match node {
                Node::Group(group) => walk(group, found),
                Node::Text(text) => {
                    let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                    found.push((words, text.abs_bounding_box()));
                }
                Node::Path(_) | Node::Image(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(raster::tree(svg).unwrap().root(), &mut found);
    found
}

/// The picture is well formed, and each of its texts is whole, on the sheet and apart from the others.
fn check(picture: &Picture) -> String {
    let svg = picture.svg();
    let size = raster::tree(&svg).unwrap().size();
    let texts = texts(&svg);
    for (text, place) in &texts {
        let inside = place.left() >= 0.0
            && place.top() >= 0.0
            && place.right() <= size.width()
            && place.bottom() <= size.height();
        assert!(inside, "{text:?} leaves the sheet: {place:?}");
    }
    for (at, (text, place)) in texts.iter().enumerate() {
        for (other, elsewhere) in &texts[at + 1..] {
            let apart = place.right() <= elsewhere.left()
                || elsewhere.right() <= place.left()
                || place.bottom() <= elsewhere.top()
                || elsewhere.bottom() <= place.top();
            assert!(apart, "{text:?} and {other:?} overlap: {place:?} {elsewhere:?}");
        }
    }
    svg
}

/// Checks the picture, and leaves it in `target/pictures/` in both formats.
fn show(name: &str, picture: &Picture) -> Pixmap {
    let svg = check(picture);
    let folder = PathBuf::from(std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned()))
        .join("pictures");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name).with_extension("svg"), &svg).unwrap();
    let png = picture.png().unwrap();
    fs::write(folder.join(name).with_extension("png"), &png).unwrap();
    Pixmap::decode_png(&png).unwrap()
}

/// Bits per second of one subflow, in bins of 100 ms.
fn rate(since: f64, until: f64, rate: f64) -> Vec<f64> {
    (0..100)
        .map(|bin| {
            let at = f64::from(bin) / 10.0;
            let speed = ((at - since) * 2.5).clamp(0.0, 1.0);
            let on = if at >= since && at < until { speed } else { 0.0 };
            rate * on * (0.93 + 0.07 * noise(bin * 31 + u32::from(rate > 15e6)))
        })
        .collect()
}

/// Two subflows at 20 and 10 Mbit/s over 10 s; the second joins at 1 s, the first one's link is cut at 6 s.
fn transfer_layers(names: [&str; 2]) -> Vec<Layer> {
    let mut sent = [Vec::new(), Vec::new()];
    let mut again = Vec::new();
    let mut acknowledged = Vec::new();
    let mut dsn = 0.0;
    for step in 0..7000 {
        let at = f64::from(step) / 700.0;
        let first = at < 6.0 && (at < 1.0 || step % 3 != 0);
        if !first && at < 1.2 || (at > 6.0 && step % 3 != 0) {
            continue;
        }
        let (from, to) = (dsn, dsn + 5400.0);
        sent[usize::from(!first)].push(Segment { at: secs(at), from, to });
        if step % 7 == 0 {
            let y = if (5.7..6.5).contains(&at) { 21.2e6 } else { from - 60e3 };
            acknowledged.push(Point { at: secs(at), y: y.max(0.0) });
        }
        dsn = to;
    }
    for step in 0..24 {
        let at = secs(6.5 + f64::from(step) / 60.0);
        again.push(Point { at, y: 21.2e6 + f64::from(step) * 50e3 });
    }
    let gap = Segment { at: secs(6.05), from: 21.2e6, to: 22.4e6 };
    let [one, two] = sent;
    vec![
        layer(
            "no data arrives in order (the connection stands still)",
            Colour::Alarm,
            Shape::Bands(vec![secs(6.0)..secs(6.5)]),
        ),
        layer("acknowledged by the receiver (DATA_ACK)", Colour::Ink, Shape::Steps(acknowledged)),
        layer(names[0], Colour::Series(0), Shape::Segments(one)),
        layer(names[1], Colour::Series(1), Shape::Segments(two)),
        layer(
            "data sent again on another subflow (reinjection)",
            Colour::Ink,
            Shape::Symbols(Symbol::Circle, again),
        ),
        layer("data that is missing (gap)", Colour::Alarm, Shape::Segments(vec![gap])),
    ]
}

/// What [`transfer_layers`] shows, with its rates and events.
fn transfer(names: [&str; 2]) -> Picture {
    Picture {
        title: "One connection over two paths".to_owned(),
        subtitle: "office.pcapng, connection 1, 25 November 2026 13:05 UTC, 21.7 MB in 10 s".to_owned(),
        panels: vec![
            panel(
                "How fast data went, by subflow",
                Chart::Areas(Areas {
                    y: axis(
                        "data sent, each byte counted on each subflow that carried it",
                        Unit::BitsPerSecond,
                    ),
                    bin: Duration::from_millis(100),
                    series: vec![
                        Area {
                            name: names[0].to_owned(),
                            colour: Colour::Series(0),
                            heights: rate(0.0, 6.0, 20e6),
                        },
                        Area {
                            name: names[1].to_owned(),
                            colour: Colour::Series(1),
                            heights: rate(1.0, 10.0, 10e6),
                        },
                    ],
                }),
            ),
            panel(
                "Which part of the data went when, by subflow",
                Chart::Traces(Traces {
                    y: axis("data sequence number, from the first byte", Unit::Bytes),
                    layers: transfer_layers(names),
                }),
            ),
        ],
        events: vec![
            event(0.0, "connection opens"),
            event(1.0, "join accepted"),
            event(6.0, "link cut"),
            event(6.5, "data sent again"),
            event(9.98, "connection closes"),
        ],
    }
}

#[test]
fn a_transfer_over_two_paths() {
    let picture = transfer([
        "subflow 0: 10.0.1.2:40000 – 10.0.3.2:443, the first",
        "subflow 1: 10.0.2.2:51812 – 10.0.3.2:443, joined",
    ]);
    let pixels = show("transfer", &picture);
    assert_eq!(pixels.width(), 2400);
    let size = raster::tree(&picture.svg()).unwrap().size();
    assert_eq!(pixels.height(), size.to_int_size().height() * 2);
}

#[test]
fn long_addresses_have_room() {
    let picture = transfer([
        "subflow 0: [2001:db8:1111:2222:3333:4444:5555:6666]:40000 – [2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:443, the first",
        "subflow 1: [2001:db8:7777:8888:9999:4444:5555:6666]:51812 – [2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:443, joined",
    ]);
    show("ipv6", &picture);
}

fn many(count: u32) -> Picture {
    let name = |number: u32| format!("subflow {number}: 10.0.{number}.2:{} – 10.0.99.2:443", 40_000 + number);
    let areas = (0..count).map(|number| Area {
        name: name(number),
        colour: Colour::Series(usize::try_from(number).unwrap()),
        heights: (0..1200).map(|bin| 1e6 * (0.6 + 0.4 * noise(bin / 20 + number * 977))).collect(),
    });
    let layers = (0..count).map(|number| {
        let segments = (0..400).map(|at| {
            let from = f64::from(at) * 1e6 + f64::from(number) * 4e7;
            Segment { at: secs(f64::from(at) * 9.0), from, to: from + 8e6 }
        });
        layer(
            &name(number),
            Colour::Series(usize::try_from(number).unwrap()),
            Shape::Segments(segments.collect()),
        )
    });
    let lines = (0..count).map(|number| {
        let points = (0..600).map(|at| Point {
            at: secs(f64::from(at) * 6.0),
            y: 0.04 * f64::from(number + 1) * noise(at / 9 + number),
        });
        layer(&name(number), Colour::Series(usize::try_from(number).unwrap()), Shape::Steps(points.collect()))
    });
    Picture {
        title: format!("{count} subflows"),
        subtitle: "an hour".to_owned(),
        panels: vec![
            panel(
                "Upon each other",
                Chart::Areas(Areas {
                    y: axis("data", Unit::BitsPerSecond),
                    bin: Duration::from_secs(3),
                    series: areas.collect(),
                }),
            ),
            panel(
                "Before each other",
                Chart::Traces(Traces {
                    y: axis("data sequence number", Unit::BinaryBytes),
                    layers: layers.collect(),
                }),
            ),
            panel(
                "Lines",
                Chart::Traces(Traces { y: axis("round trip", Unit::Seconds), layers: lines.collect() }),
            ),
        ],
        events: (0..count)
            .map(|number| event(f64::from(number * number), &format!("join {number} accepted")))
            .collect(),
    }
}

#[test]
fn eight_subflows() {
    show("eight", &many(8));
}

#[test]
fn when_colours_run_out_other_looks_begin() {
    show("twenty", &many(20));
}

#[test]
fn beyond_the_limits_the_rest_is_told() {
    let svg = check(&many(70));
    assert!(svg.contains("46 others together"));
    assert!(svg.contains("and 38 more, which are not drawn"));
    assert!(svg.contains("events without room for a label: "));
}

#[test]
fn bars_say_their_values() {
    let bar = |name: &str, value: f64| Bar { name: name.to_owned(), value, colour: Colour::Series(0) };
    let picture = Picture {
        title: "What a decision takes".to_owned(),
        subtitle: "release build, one core".to_owned(),
        panels: vec![
            panel(
                "Time for one packet, less is better",
                Chart::Bars(Bars {
                    x: axis("time", Unit::Seconds),
                    bars: vec![
                        bar("data without options", 61.2e-9),
                        bar("data with DSS", 143e-9),
                        bar("SYN with MP_CAPABLE", 812e-9),
                        bar(
                            "SYN with MP_JOIN, HMAC verified, with a name that is far too long for a bar chart",
                            3.12e-6,
                        ),
                        bar("nothing", 0.0),
                    ],
                }),
            ),
            panel(
                "Packets",
                Chart::Bars(Bars {
                    x: axis("throughput", Unit::Other("packets/s".to_owned())),
                    bars: vec![bar("one queue", 410_000.0), bar("four queues", 1_250_000.0)],
                }),
            ),
        ],
        events: Vec::new(),
    };
    show("bars", &picture);
    let svg = picture.svg();
    for said in ["61.2 ns", "812 ns", "3.12 µs", "time (µs)", "1,250,000 packets/s", "0 s"] {
        assert!(svg.contains(said), "{said}");
    }
}

/// Both charts over time, of one series with these values a second apart.
fn both(values: &[f64]) -> Picture {
    let points = || (0..).zip(values).map(|(at, y)| (secs(f64::from(at)), *y));
    Picture {
        title: "t".to_owned(),
        subtitle: String::new(),
        panels: vec![
            panel(
                "a",
                Chart::Areas(Areas {
                    y: axis("y", Unit::Bytes),
                    bin: Duration::from_secs(1),
                    series: vec![Area {
                        name: "s".to_owned(),
                        colour: Colour::Series(0),
                        heights: values.to_vec(),
                    }],
                }),
            ),
            panel(
                "b",
                Chart::Traces(Traces {
                    y: axis("y", Unit::Count),
                    layers: vec![
                        layer(
                            "p",
                            Colour::Ink,
                            Shape::Symbols(Symbol::Cross, points().map(|(at, y)| Point { at, y }).collect()),
                        ),
                        layer(
                            "l",
                            Colour::Muted,
                            Shape::Steps(points().map(|(at, y)| Point { at, y }).collect()),
                        ),
                        layer(
                            "s",
                            Colour::Series(0),
                            Shape::Segments(
                                points().map(|(at, y)| Segment { at, from: 0.0, to: y }).collect(),
                            ),
                        ),
                    ],
                }),
            ),
            panel(
                "c",
                Chart::Bars(Bars {
                    x: axis("x", Unit::BinaryBytes),
                    bars: values
                        .iter()
                        .map(|value| Bar { name: "n".to_owned(), value: *value, colour: Colour::Alarm })
                        .collect(),
                }),
            ),
        ],
        events: vec![event(0.0, "e")],
    }
}

#[test]
fn whatever_the_values_there_is_a_picture() {
    let cases: [&[f64]; 12] = [
        &[],
        &[0.0],
        &[1.0],
        &[7.0, 7.0, 7.0],
        &[-3.0, -3.0],
        &[1e-300, 0.0],
        &[amount(u64::MAX), 0.0],
        &[1e300, -1e300],
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        &[1e15, 1e15 + 1.0],
        &[999_999.0, 1_000_001.0],
        &[-1e9, 1e9],
    ];
    for values in cases {
        let svg = check(&both(values));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}");
    }
    show("huge", &both(&[1e300, -1e300]));
}

#[test]
fn whole_numbers_become_values() {
    for whole in [0, 1, 1400, u64::from(u32::MAX), 1 << 32, (1 << 53) - 1] {
        assert_eq!(format!("{:.0}", amount(whole)), whole.to_string());
    }
    assert_eq!(format!("{:e}", amount(u64::MAX)), "1.8446744073709552e19");
}

#[test]
fn nothing_at_all_is_a_picture() {
    show("nothing", &Picture::default());
}

#[test]
fn words_are_data() {
    let hostile = "<b>&\"'\u{0}\u{1b}[31m\u{ffff} 接続 \n]]>";
    let mut picture = both(&[1.0]);
    picture.title = hostile.to_owned();
    picture.subtitle = "w".repeat(100_000);
    picture.events.push(event(0.5, &"label ".repeat(1000)));
    picture.panels[0].title = hostile.repeat(100);
    check(&picture);
}

#[test]
fn events_at_once_have_labels_apart() {
    let mut picture = both(&[1.0; 30]);
    picture.events = (0..8).map(|number| event(29.9, &format!("late event {number}"))).collect();
    picture
        .events
        .extend((0..8).map(|number| event(0.2 * f64::from(number), &format!("early event {number}"))));
    show("events", &picture);
}

#[test]
fn a_hundred_thousand_points_are_bounded() {
    let at = |number: u32| secs(10.0 * noise(number));
    let y = |number: u32| 1e9 * noise(number + 77_777);
    let points: Vec<_> = (0..100_000).map(|number| Point { at: at(number), y: y(number) }).collect();
    let segments =
        (0..100_000).map(|number| Segment { at: at(number), from: y(number), to: y(number) + 1400.0 });
    let mut picture = both(&vec![1.0; 100_000]);
    picture.panels = vec![panel(
        "all over the plot",
        Chart::Traces(Traces {
            y: axis("y", Unit::Bytes),
            layers: vec![
                layer("segments", Colour::Series(0), Shape::Segments(segments.collect())),
                layer("symbols", Colour::Series(1), Shape::Symbols(Symbol::Circle, points.clone())),
                layer("steps", Colour::Ink, Shape::Steps(points)),
            ],
        }),
    )];
    let svg = check(&picture);
    assert!(svg.len() < 1_200_000, "{}", svg.len());
    let svg = check(&Picture { panels: both(&vec![1.0; 100_000]).panels, ..picture });
    assert!(svg.len() < 300_000, "{}", svg.len());
}

#[test]
fn thinning_keeps_the_extremes() {
    let mut points: Vec<_> =
        (0..5000).map(|at| Point { at: secs(5.0 + f64::from(at) * 1e-6), y: noise(at) }).collect();
    points.extend([0.0, 10.0].map(|at| Point { at: secs(at), y: 0.5 }));
    points.push(Point { at: secs(5.002), y: 2.0 });
    points.push(Point { at: secs(5.003), y: -1.0 });
    let draw = |points: Vec<Point>| Picture {
        panels: vec![panel(
            "",
            Chart::Traces(Traces {
                y: axis("", Unit::Other(String::new())),
                layers: vec![layer("", Colour::Ink, Shape::Symbols(Symbol::Cross, points))],
            }),
        )],
        ..Picture::default()
    };
    let few = draw(vec![
        Point { at: secs(0.0), y: 0.5 },
        Point { at: secs(10.0), y: 0.5 },
        Point { at: secs(5.002), y: 2.0 },
        Point { at: secs(5.003), y: -1.0 },
    ]);
    let all = check(&draw(points));
    let marks = |svg: &str| -> Vec<String> {
        let path = svg.split("d=\"").skip(1).find(|path| path.contains("l8 8")).unwrap();
        path.split('"').next().unwrap().split('M').skip(1).map(|mark| format!("M{mark}")).collect()
    };
    for mark in marks(&check(&few)) {
        assert!(all.contains(&mark), "{mark}");
    }
}

#[test]
fn the_name_says_the_format() {
    assert_eq!(Format::of(Path::new("a/b.svg")).unwrap(), Format::Svg);
    assert_eq!(Format::of(Path::new("b.PNG")).unwrap(), Format::Png);
    for name in ["picture", "picture.pdf", ".svg", "svg"] {
        let error = Format::of(Path::new(name)).unwrap_err().to_string();
        assert!(error.contains(".svg or .png"), "{error}");
    }
}

#[test]
fn a_png_has_a_greatest_height() {
    let one = || panel("p", Chart::Traces(Traces { y: axis("", Unit::Count), layers: Vec::new() }));
    let picture = Picture { panels: (0..30).map(|_| one()).collect(), ..Picture::default() };
    assert!(matches!(picture.png(), Err(PictureError::TooHigh(_))));
}
