//! Clients from six continents, and a real GeoIP database that knows where they are.

use crate::site::{LINUX, NOTES, Plan, Site};
use crate::well_known::{CENTRES, WELL_KNOWN, databases};

#[tokio::test]
async fn addresses_on_six_continents_download_from_the_mirror_of_their_region() {
    let mirrors = CENTRES.iter().map(|(name, latitude, longitude)| (*name, *name, (*latitude, *longitude)));
    let [v4, v6] = databases();
    let more = format!("[geoip]\ncity = [{v4:?}, {v6:?}]\n");
    let site = Site::with(Plan { mirrors: mirrors.collect(), more, ..Plan::default() }).await;

    let mut wrong = Vec::new();
    for (address, who, _, region) in WELL_KNOWN {
        let header = format!("X-Forwarded-For: {address}");
        let arguments = ["-fsSL", "-H", &header, "-o", "got", "-w", "%{url_effective}", &site.stable(NOTES)];
        let from = site.run("curl", &arguments).await.ok();
        site.assert_has("got", NOTES);
        if !from.starts_with(&site.mirror(region).url()) {
            wrong.push(format!("{address} ({who}): {from} instead of {region}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // The large file as well, once per region.
    for (region, ..) in CENTRES {
        let (address, ..) = WELL_KNOWN.iter().find(|(.., known)| known == region).expect("one for each");
        let header = format!("X-Forwarded-For: {address}");
        site.run("curl", &["-fsSL", "-H", &header, "-o", "got", &site.stable("linux-amd64")]).await.ok();
        site.assert_has("got", LINUX);
    }
    site.stop().await;
}
