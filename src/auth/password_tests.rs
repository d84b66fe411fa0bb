//! Tests of the password pool.

use super::*;
use crate::auth::keys::KeyMaterial;
use crate::auth::keys::testing::material;
use crate::base::random::OsRandom;

fn settings(cost: Cost, queue: usize) -> PasswordSettings {
    PasswordSettings { cost, min_length: 8, threads: 1, queue }
}

fn pool(cost: Cost, queue: usize, material: &KeyMaterial) -> PasswordPool {
    let keys = Arc::new(KeyRing::new(material).unwrap());
    PasswordPool::new(settings(cost, queue), keys, Arc::new(OsRandom::new()))
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn the_right_password_is_right_and_every_other_is_wrong() {
    let pool = pool(Cost::FLOOR, 4, &material());
    let record = pool.hash(&secret("correct horse")).await.unwrap();
    assert!(record.phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    let verify = |p: &'static str| {
        let (pool, record) = (&pool, &record);
        async move { pool.verify(&secret(p), Some(record), Asker::Known).await.unwrap() }
    };
    assert_eq!(verify("correct horse").await, PasswordVerdict::Right { outdated: false });
    assert_eq!(verify("correct horse ").await, PasswordVerdict::Wrong);
    assert_eq!(verify("").await, PasswordVerdict::Wrong);
}

#[tokio::test]
async fn nothing_matches_where_no_password_is_stored() {
    let pool = pool(Cost::FLOOR, 4, &material());
    assert_eq!(
        pool.verify(&secret("x"), None, Asker::Known).await.unwrap(),
        PasswordVerdict::Wrong
    );
}

#[tokio::test]
async fn a_hash_without_its_pepper_is_worth_nothing() {
    let record = pool(Cost::FLOOR, 4, &material()).hash(&secret("correct horse")).await.unwrap();
    let mut other = material();
    other.pepper[0].bytes = Zeroizing::new([7; 32]);
    let verdict = pool(Cost::FLOOR, 4, &other)
        .verify(&secret("correct horse"), Some(&record), Asker::Known)
        .await;
    assert_eq!(verdict.unwrap(), PasswordVerdict::Wrong);
}

#[tokio::test]
async fn a_pepper_that_is_not_there_is_no_wrong_password() {
    let mut record =
        pool(Cost::FLOOR, 4, &material()).hash(&secret("correct horse")).await.unwrap();
    "another".clone_into(&mut record.pepper_id);
    let verdict = pool(Cost::FLOOR, 4, &material())
        .verify(&secret("correct horse"), Some(&record), Asker::Known)
        .await;
    assert!(matches!(verdict, Err(HashError::Broken(_))), "{verdict:?}");
}

#[tokio::test]
async fn a_hash_of_other_cost_is_still_right_but_outdated() {
    let record = pool(Cost::FLOOR, 4, &material()).hash(&secret("correct horse")).await.unwrap();
    let dearer = pool(Cost { passes: 3, ..Cost::FLOOR }, 4, &material());
    let verdict =
        dearer.verify(&secret("correct horse"), Some(&record), Asker::Known).await.unwrap();
    assert_eq!(verdict, PasswordVerdict::Right { outdated: true });
}

#[tokio::test]
async fn composed_and_decomposed_letters_are_one_password() {
    let pool = pool(Cost::FLOOR, 4, &material());
    let record = pool.hash(&secret("caf\u{e9} au lait")).await.unwrap();
    let verdict =
        pool.verify(&secret("cafe\u{301} au lait"), Some(&record), Asker::Known).await.unwrap();
    assert_eq!(verdict, PasswordVerdict::Right { outdated: false });
}

#[tokio::test]
async fn beyond_the_queue_everybody_is_told_at_once() {
    let pool = Arc::new(pool(Cost::FLOOR, 1, &material()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let pool = Arc::clone(&pool);
        tasks.spawn(async move { pool.verify(&secret("x"), None, Asker::Stranger).await.is_ok() });
    }
    let done = tasks.join_all().await;
    assert!(done.contains(&true), "those within the bounds are served");
    assert!(done.contains(&false), "those beyond are refused");
}

#[tokio::test]
async fn a_new_password_is_hashed_only_if_it_is_taken() {
    let pool = pool(Cost::FLOOR, 1, &material());
    pool.set_rules(settings(Cost::FLOOR, 1), ["Cell Engine".to_owned()]);
    let whose = Identity {
        account: crate::base::id::AccountId::random(&OsRandom::new()).unwrap(),
        name: crate::auth::account::LoginName::parse("alice").unwrap(),
        display_name: "alice".to_owned(),
        email: None,
        groups: Vec::new(),
    };
    let refused = async |p| pool.hash_new(&secret(p), &whose).await.unwrap_err().to_string();
    assert!(refused("password1").await.contains("easy to guess"));
    assert!(refused("quilt-cellengine").await.contains("this service"));
    assert!(refused("short").await.contains("at least 8"));
    assert!(pool.hash_new(&secret("cafe\u{301} quilt tree"), &whose).await.is_ok());
}

#[test]
fn only_our_own_hashes_are_read() {
    let rest = "m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
    assert!(parse_phc(&format!("$argon2id$v=19${rest}")).is_some());
    let others =
        ["$argon2i$v=19$", "$argon2id$v=16$", "$argon2id$", "$2b$"].map(|s| s.to_owned() + rest);
    let cut = ["", "$argon2id$v=19$m=1$AA$AA", "$2b$10$x"].map(str::to_owned);
    for bad in others.into_iter().chain(cut) {
        assert!(parse_phc(&bad).is_none(), "{bad}");
    }
}
