//! Texts that have a format, and texts that do not, by the specification that JSON Schema names for it.

use serde_json::{Value, json};

use super::Validator;

/// Format, specification, texts that have it, texts that do not.
pub(super) const FORMATS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "email",
        "RFC 5321, 4.1.2",
        &["a@example.org", "a.b+c@sub.example.org", "A_1-2@example.co", "o'hara@example.org"],
        &[
            "",
            "a",
            "@example.org",
            "a@",
            "a b@example.org",
            ".a@example.org",
            "a.@example.org",
            "a..b@example.org",
            "a@-example.org",
        ],
    ),
    (
        "date",
        "RFC 3339, 5.6",
        &["2024-02-29", "2000-02-29", "1999-12-31", "0000-01-01"],
        &[
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
            "2024-1-1",
            "24-01-01",
            "2024-01-01T",
            "2024/01/01",
            "２024-01-01",
        ],
    ),
    (
        "time",
        "RFC 3339, 5.6",
        &["12:30:00Z", "00:00:00.123+01:00", "23:59:60Z", "23:59:59-23:59", "12:30:00z"],
        &[
            "12:30",
            "12:30:00",
            "24:00:00Z",
            "12:60:00Z",
            "12:30:61Z",
            "1:2:3Z",
            "12:30:00+24:00",
            "12:30:00 Z",
            "12:30:60Z",
        ],
    ),
    (
        "date-time",
        "RFC 3339, 5.6",
        &["2024-02-29T12:30:00Z", "2024-01-02T03:04:05.678+09:30", "1998-12-31T23:59:60Z", "2024-02-29t12:30:00z"],
        &[
            "2024-02-30T12:30:00Z",
            "2024-02-29T12:30:00",
            "2024-02-29",
            "2024-02-29T25:00:00Z",
            "2024-02-29TT12:30:00Z",
            "",
        ],
    ),
    (
        "duration",
        "RFC 3339, appendix A",
        &["P1D", "PT5M", "P1Y2M3DT4H5M6S", "P4W", "P1Y", "PT36H"],
        &["", "P", "PT", "1D", "P1", "P1S", "P1D2H", "PT1D", "P-1D", "P1W2D"],
    ),
    (
        "uri",
        "RFC 3986",
        &[
            "http://example.org",
            "https://a:b@example.org:8080/x/y?z=1#f",
            "urn:isbn:0451450523",
            "mailto:a@example.org",
            "http://[::1]/",
            "x:",
        ],
        &[
            "",
            "/a",
            "example.org",
            "//example.org/a",
            "http://a b",
            "http://example.org/%zz",
            "http://example.org/ü",
            ":a",
            "1x:a",
        ],
    ),
    (
        "uri-reference",
        "RFC 3986",
        &["", "/a", "a/b", "?q", "#f", "//example.org/a", "http://example.org", "../x", "%20"],
        &["\\a", "a b", "#a#b", "%zz", "ü", "http://[::1", "12:30"],
    ),
    (
        "uuid",
        "RFC 4122",
        &[
            "0190a5ee-8f9e-7c53-a9c6-0242ac120002",
            "00000000-0000-0000-0000-000000000000",
            "0190A5EE-8F9E-7C53-A9C6-0242AC120002",
        ],
        &[
            "",
            "0190a5ee8f9e7c53a9c60242ac120002",
            "0190a5ee-8f9e-7c53-a9c6-0242ac12000",
            "0190a5ee-8f9e-7c53-a9c6-0242ac12000g",
            "{0190a5ee-8f9e-7c53-a9c6-0242ac120002}",
        ],
    ),
    (
        "ipv4",
        "RFC 2673, 3.2",
        &["127.0.0.1", "0.0.0.0", "255.255.255.255"],
        &["", "256.0.0.1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.a", "1.2.3.4/8", " 1.2.3.4"],
    ),
    (
        "ipv6",
        "RFC 4291, 2.2",
        &["::", "::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "FE80::A"],
        &["", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "::g", "fe80::1%eth0", "::1/64"],
    ),
    (
        "hostname",
        "RFC 1123, 2.1",
        &["example.org", "a", "a-b.c1", "xn--bcher-kva.example", "1.example"],
        &["-a.example", "a-.example", "a..b", "a_b", "a b", "ü.example", "a.example/"],
    ),
    ("regex", "ECMA-262", &["", "a+", "^[a-z]{2,}$", r"\d", "(a|b)"], &["(", "[", "a{2,1}", "*"]),
    ("json-pointer", "RFC 6901", &["", "/", "/a/0", "/a~0b~1c", "//"], &["a", "#/a", "/~", "/~2"]),
    (
        "relative-json-pointer",
        "draft-bhutton-relative-json-pointer-00",
        &["0", "1/a", "2#", "10/a~1b"],
        &["", "/a", "-1/a", "01/a", "a"],
    ),
    ("uri-template", "RFC 6570", &["", "/a/{b}", "{?q,r}", "{/x*}"], &["{", "/a/{b", "a}"]),
];

/// Whether the text has the format here.
pub(super) fn fits(format: &str, text: &str) -> bool {
    Validator::new(&json!({"format": format})).unwrap().check(&json!(text)).is_ok()
}

#[test]
fn c10_formats() {
    let mut wrong = Vec::new();
    for (format, specification, good, bad) in FORMATS {
        for (texts, expected) in [(good, true), (bad, false)] {
            wrong.extend(texts.iter().filter(|text| fits(format, text) != expected).map(|text| {
                format!("{format} ({specification}): `{text}` should {}fit", if expected { "" } else { "not " })
            }));
        }
        // A format is one of texts: it asks nothing of other values.
        for other in [json!(null), json!(1), json!([]), json!({}), json!(true)] {
            assert!(Validator::new(&json!({"format": format})).unwrap().check(&other).is_ok(), "{format} {other}");
        }
        let error = Validator::new(&json!({"format": format})).unwrap().check(&Value::from(bad[0])).unwrap_err();
        let violation = &error.violations()[0];
        let told = (violation.keyword.as_ref(), violation.message.as_ref(), &violation.params);
        assert_eq!(told, ("format", &*format!("must match format \"{format}\""), &json!({"format": format})));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
