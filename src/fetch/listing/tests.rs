use super::*;
use proptest::prelude::*;

fn folder() -> Url {
    "http://m.example/releases/tool/1.0/".parse().unwrap()
}

fn read(body: &str) -> Option<Vec<(String, bool, Option<u64>)>> {
    let listing = FolderListing::read(body.as_bytes(), &folder())?;
    Some(listing.entries.into_iter().map(|entry| (entry.name, entry.is_folder, entry.size)).collect())
}

fn file(name: &str, size: Option<u64>) -> (String, bool, Option<u64>) {
    (name.to_owned(), false, size)
}

fn names(body: &str) -> Vec<String> {
    read(body).unwrap().into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn nginx_pages_give_names_and_exact_sizes() {
    let page = "<html>\r\n<head><title>Index of /releases/tool/1.0/</title></head>\r\n<body>\r\n\
        <h1>Index of /releases/tool/1.0/</h1><hr><pre><a href=\"../\">../</a>\r\n\
        <a href=\"docs/\">docs/</a>                    21-Nov-2026 14:30                   -\r\n\
        <a href=\"./a%3Ab%20%26%20c%23.txt\">a:b &amp; c#.txt</a>       21-Nov-2026 14:30              1048576\r\n\
        <a href=\"rounded\">rounded</a>                21-Nov-2026 14:30                 12M\r\n\
        <a href=\"%C3%BC-a-very-long-name-that-nginx-cuts-in-the-text\">\u{fc}-a-very-long-name-that-ng..&gt;</a> 21-Nov-2026 14:30    7\r\n\
        </pre><hr></body>\r\n</html>\r\n";
    assert_eq!(
        read(page).unwrap(),
        [
            ("docs".to_owned(), true, None),
            file("a:b & c#.txt", Some(1_048_576)),
            file("rounded", None),
            file("ü-a-very-long-name-that-nginx-cuts-in-the-text", Some(7)),
        ]
    );
}

#[test]
fn apache_pages_of_every_style_give_the_same_names() {
    let head = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<html>\n <head>\n  \
        <title>Index of /releases/tool/1.0</title>\n </head>\n <body>\n<h1>Index of /releases/tool/1.0</h1>\n";
    // Without FancyIndexing.
    let plain = "<ul><li><a href=\"/releases/tool/\"> Parent Directory</a></li>\n<li><a href=\"docs/\"> docs/</a></li>\n\
        <li><a href=\"tool-1.0.tar.gz\"> tool-1.0.tar.gz</a></li>\n<li><a href=\"x&amp;y.txt\"> x&amp;y.txt</a></li>\n</ul>\n";
    let pre = "<pre><img src=\"/icons/blank.gif\" alt=\"Icon \"> <a href=\"?C=N;O=D\">Name</a>  <a href=\"?C=M;O=A\">Last modified</a>  \
        <a href=\"?C=S;O=A\">Size</a>  <a href=\"?C=D;O=A\">Description</a><hr>\
        <img src=\"/icons/back.gif\" alt=\"[PARENTDIR]\"> <a href=\"/releases/tool/\">Parent Directory</a>      -   \n\
        <img src=\"/icons/folder.gif\" alt=\"[DIR]\"> <a href=\"docs/\">docs/</a>        2026-11-20 10:00    -   \n\
        <img src=\"/icons/compressed.gif\" alt=\"[   ]\"> <a href=\"tool-1.0.tar.gz\">tool-1.0.tar.gz</a>  2026-11-20 10:00  1.2M  for 64 bits, build 5\n\
        <img src=\"/icons/text.gif\" alt=\"[TXT]\"> <a href=\"x&amp;y.txt\">x&amp;y.txt</a>    2026-11-20 10:00  345   \n<hr></pre>\n";
    let table = "  <table>\n   <tr><th valign=\"top\"><img src=\"/icons/blank.gif\" alt=\"[ICO]\"></th><th><a href=\"?C=N;O=D\">Name</a></th>\
        <th><a href=\"?C=M;O=A\">Last modified</a></th><th><a href=\"?C=S;O=A\">Size</a></th></tr>\n\
        <tr><td valign=\"top\"><img src=\"/icons/back.gif\" alt=\"[PARENTDIR]\"></td><td><a href=\"/releases/tool/\">Parent Directory</a></td><td>&nbsp;</td><td align=\"right\">  - </td><td>&nbsp;</td></tr>\n\
        <tr><td valign=\"top\"><a href=\"docs/\"><img src=\"/icons/folder.gif\" alt=\"[DIR]\"></a></td><td><a href=\"docs/\">docs/</a></td><td align=\"right\">2026-11-20 10:00  </td><td align=\"right\">  - </td><td>&nbsp;</td></tr>\n\
        <tr><td valign=\"top\"><img src=\"/icons/compressed.gif\" alt=\"[   ]\"></td><td><A class='x' HREF = 'tool-1.0.tar.gz'>tool-1.0.tar.gz</A></td><td align=\"right\">2026-11-20 10:00  </td><td align=\"right\">1.2M</td><td>&nbsp;</td></tr>\n\
        <tr><td valign=\"top\"><img src=\"/icons/text.gif\" alt=\"[TXT]\"></td><td><a href=x&#38;y.txt>x&amp;y.txt</a></td><td align=\"right\">2026-11-20 10:00  </td><td align=\"right\">345 </td><td>&nbsp;</td></tr>\n  </table>\n";
    let foot = "<address>Apache/2.4.62 (Debian) Server at m.example Port 80</address>\n</body></html>\n";
    for (style, size) in [(plain, None), (pre, Some(345)), (table, None)] {
        assert_eq!(
            read(&format!("{head}{style}{foot}")).unwrap(),
            [("docs".to_owned(), true, None), file("tool-1.0.tar.gz", None), file("x&y.txt", size)],
            "{style}"
        );
    }
}

#[test]
fn pages_that_apache_wrote_give_every_name_whatever_it_holds() {
    let pages = [
        include_str!("../../../tests/fixtures/listing/apache-plain.html"),
        include_str!("../../../tests/fixtures/listing/apache-fancy.html"),
        include_str!("../../../tests/fixtures/listing/apache-fancy-table.html"),
        include_str!("../../../tests/fixtures/listing/apache-table.html"),
    ];
    for page in pages {
        let mut names: Vec<_> =
            read(page).unwrap().into_iter().map(|(name, folder, _)| (name, folder)).collect();
        names.sort();
        let expected = [
            ("a%20b#c?.txt", false),
            ("big file & <odd> ü.bin", false),
            ("sub", true),
            ("tool_1.8.2_linux.tar.gz", false),
        ];
        assert_eq!(names, expected.map(|(name, folder)| (name.to_owned(), folder)), "{page}");
    }
}

#[test]
fn nginx_json_gives_names_and_sizes() {
    let json = r#"[
{ "name":"docs", "type":"directory", "mtime":"Sat, 21 Nov 2026 14:30:00 GMT" },
{ "name":"a \"quoted\" name", "type":"file", "mtime":"Sat, 21 Nov 2026 14:30:00 GMT", "size":7 },
{ "name":"..", "type":"directory" }, { "name":"a/b", "type":"file", "size":1 }, { "name":"", "type":"file" }
]"#;
    assert_eq!(read(json).unwrap(), [("docs".to_owned(), true, None), file("a \"quoted\" name", Some(7))]);
    assert_eq!(read("[]").unwrap(), []);
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let hostile = [
        "../",
        "../../etc/passwd",
        "%2e%2e/",
        "%2e%2e%2fpasswd",
        "..%2f..%2fpasswd",
        "a/../../b",
        "/",
        "/etc/passwd",
        "/releases/tool/1.0",
        "/releases/tool/1.0/",
        "//evil.example/releases/tool/1.0/x",
        "http://evil.example/x",
        "https://m.example/releases/tool/1.0/x",
        "http://m.example:81/releases/tool/1.0/x",
        "javascript:alert(1)",
        "data:,x",
        "mailto:a@b",
        "?C=M;O=A",
        "x?C=M",
        "#top",
        "",
        ".",
        "./",
        "a/b",
        "a%2fb",
        "a%5cb",
        "%00",
        "a%0ab",
        "%ff",
        "\\\\evil.example\\x",
        "..\\x",
        "http://[",
    ];
    for href in hostile {
        let page = format!("<title>Index of /</title>\n<a href=\"{href}\">x</a> 21-Nov-2026 14:30 7\n");
        assert_eq!(read(&page).unwrap(), [], "{href}");
    }
    let own = [
        "x",
        "./x",
        "/releases/tool/1.0/x",
        "http://m.example/releases/tool/1.0/x",
        "//m.example/releases/tool/1.0/x",
        "y/../x",
        "x#part",
    ];
    for href in own {
        assert_eq!(names(&format!("<h1>Index of /</h1><a href=\"{href}\">x</a>")), ["x"], "{href}");
    }
}

#[test]
fn what_is_no_listing_is_none() {
    let none = [
        "",
        "not found",
        "<html><title>Welcome</title><a href=\"x\">x</a></html>",
        "{\"name\":\"x\"}",
        "[1, 2]",
        "[{\"name\":1}]",
        "[",
        "<!-- index of --><a href=x>x</a>",
        "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
    ];
    for body in none {
        assert_eq!(read(body), None, "{body}");
    }
    assert_eq!(read("<title>Index of /</title>"), Some(vec![]), "an empty folder is one");
    assert!(FolderListing::read(&[0xff; 100], &folder()).is_none());
}

#[test]
fn listings_without_end_are_refused_or_bounded_in_time() {
    let title = "<title>Index of /</title>";
    let entry = |n: usize| format!("<a href=\"{n}\">{n}</a>\n");
    let entries = |count: usize| (0..count).map(entry).collect::<String>();
    assert_eq!(names(&format!("{title}{}", entries(LISTED_MAX))).len(), LISTED_MAX);
    assert_eq!(
        read(&format!("{title}{}", entries(LISTED_MAX + 1))),
        None,
        "it would be cut, and what is cut off look missing"
    );
    assert_eq!(read(&format!("{title}{}", " ".repeat(LISTING_MAX))), None);
    for unit in
        ["<a ", "<a href=\"x", "<a href=x", "&", "<a href='&#x", "<", "<a x=1 ", "</a>", "<a href=\"x\">"]
    {
        let long = format!("{title}{}", unit.repeat((LISTING_MAX - title.len()) / unit.len()));
        assert!(read(&long).unwrap().len() <= 1, "{unit}");
    }
    let deep = "[".repeat(LISTING_MAX);
    assert_eq!(read(&deep), None);
    for tag in ["<Contents>", "<x>", "<Owner>"] {
        let xml = format!("<ListBucketResult>{}", tag.repeat(500_000));
        assert!(FolderListing::read_bucket(xml.as_bytes(), "").is_none());
    }
}

#[test]
fn a_bucket_gives_the_keys_after_the_prefix_and_where_to_go_on() {
    let answer = |more: &str, objects: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Name>b</Name><Prefix>r/tool/1.0/</Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>\
             <EncodingType>url</EncodingType>{more}{objects}</ListBucketResult>"
        )
    };
    let object = |key: &str, size: u64| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag>\
             <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    };
    let text = answer(
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=</NextContinuationToken>",
        &[
            object("r/tool/1.0/", 0),
            object("r/tool/1.0/a+b%2B%C3%BC.gz", 7),
            object("r/tool/1.0/docs/x", 8),
            object("r/tool/1.0/../x", 9),
        ]
        .concat(),
    );
    let listing = FolderListing::read_bucket(text.as_bytes(), "r/tool/1.0/").unwrap();
    assert_eq!(listing.next.as_deref(), Some("t+/="));
    let entry = |name: &str, size| ListedEntry { name: name.to_owned(), is_folder: false, size: Some(size) };
    assert_eq!(listing.entries, [entry("a b+ü.gz", 7), entry("docs/x", 8)]);
    let last = answer("<IsTruncated>false</IsTruncated>", "");
    let last = FolderListing::read_bucket(last.as_bytes(), "r/tool/1.0/").unwrap();
    assert_eq!((last.entries, last.next), (vec![], None));
    let ignores_the_prefix = answer("<IsTruncated>false</IsTruncated>", &object("other/x", 1));
    assert_eq!(FolderListing::read_bucket(ignores_the_prefix.as_bytes(), "r/tool/1.0/"), None);
    for other in [
        "",
        "<ListAllMyBucketsResult/>",
        "<Error><Code>NoSuchBucket</Code></Error>",
        "<ListBucketResult",
        "<title>Index of /</title>",
    ] {
        assert_eq!(FolderListing::read_bucket(other.as_bytes(), ""), None, "{other}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_and_every_name_is_one_segment(body in prop::collection::vec(any::<u8>(), 0..400), tags in "(<a |href=|\"|'|>|</a>|&#x2f;|%2e|/|\\.|x|\n| ){0,60}") {
        for text in [body.clone(), [b"<title>Index of</title>".as_slice(), tags.as_bytes(), &body].concat(), [b"[".as_slice(), &body].concat()] {
            let _ = FolderListing::read_bucket(&text, "");
            for entry in FolderListing::read(&text, &folder()).into_iter().flat_map(|listing| listing.entries) {
                prop_assert!(!entry.name.contains(['/', '\\', '\0']) && !["", ".", ".."].contains(&&*entry.name), "{:?}", entry.name);
            }
        }
    }
}
