//! What `--delete` removes, and what it never does.

use std::fs;

use crate::{Place, count, files, noise};

/// A target with two releases and things that somebody else left there.
async fn place() -> Place {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a", noise(1, 100)), ("bin/b", noise(2, 100))]).await;
    place.publish("tool", "1.1", &[("a", noise(3, 100))]).await;
    place.copy(&[]).await;
    for path in
        ["tool/README", "tool/nightly/x", "other/1.0/x", "x", "tool/1.1/manifest.json", "tool/1.1/old"]
    {
        fs::create_dir_all(place.target(path).parent().unwrap()).unwrap();
        fs::write(place.target(path), "x").unwrap();
    }
    place
}

#[tokio::test]
async fn what_is_not_wanted_leaves_the_versions_of_products_that_were_looked_at() {
    let place = place().await;
    let only = ["--product", "tool", "--version", "1.1"];
    assert_eq!(place.copy(&only).await["removed"].as_array().unwrap().len(), 0, "not without being told");

    let all = files(&place.target(""));
    let would = place.copy(&[&only[..], &["--delete", "--dry-run"]].concat()).await;
    assert_eq!((count(&would, "removed"), files(&place.target(""))), (3, all), "{would}");

    let did = place.copy(&[&only[..], &["--delete"]].concat()).await;
    assert_eq!(did["removed"], serde_json::json!(["tool/1.0/a", "tool/1.0/bin/b", "tool/1.1/old"]));
    let left = ["other/1.0/x", "tool/1.1/a", "tool/1.1/manifest.json", "tool/README", "tool/nightly/x", "x"];
    assert_eq!(files(&place.target("")), left);
    assert!(!place.target("tool/1.0").exists(), "empty folders go as well");
}

#[tokio::test]
async fn nothing_of_a_product_is_removed_while_one_of_its_manifests_cannot_be_read() {
    let place = place().await;
    fs::write(place.origin().join("tool/1.0/manifest.json"), "{").unwrap();
    let (code, said) = place.copy_badly(&["--delete"]).await;
    assert_eq!((code, count(&said, "removed")), (1, 0), "{said}");
    assert!(place.has("tool/1.0/a"));
}
