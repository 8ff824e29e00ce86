//! Which desktops and users a listing finds.

use super::*;
use crate::providers::Found;

fn found(bench: &Bench) -> Result<Vec<(String, Option<String>)>, Fault> {
    let (answer, _) = bench.loopback.ask(&bench.provider, Question::Discover(bench.subject.lens()));
    let pair = |Found { id, name }: Found| (id, name);
    let mut found: Vec<_> = answer.map_err(|failure| failure.fault)?.found.into_iter().map(pair).collect();
    found.sort();
    Ok(found)
}

fn ids(bench: &Bench) -> Vec<String> {
    found(bench).expect("a good listing").into_iter().map(|(id, _)| id).collect()
}

fn three() -> [SimSubject; 3] {
    [desktop("PC1", "ann,bob", vec![]), desktop("PC2", "ann", vec![]), desktop("PC3", "@night", vec![])]
}

#[test]
fn desktops_are_found_by_name_or_by_id_with_their_name_and_users_by_whom_desktops_are_assigned_to() {
    for cap in ["1", "2", "1000"] {
        let by_name = bench(&[("desktops_cap", cap)], &three(), &[]);
        assert_eq!(ids(&by_name), ["PC1", "PC2", "PC3"]);
        assert_eq!(ids(&by_name.of(Subject::User)), ["ann", "bob"], "who is in a group is not listed");
        let by_id = bench(&[("desktops_cap", cap), ("match", "id")], &three(), &[]).of(Subject::DesktopId);
        let found = found(&by_id).expect("a good listing");
        assert!(found.len() == 3 && found.iter().all(|(_, name)| name.is_some()), "{found:?}");
    }
}

#[test]
fn a_page_that_is_missing_or_cannot_be_read_finds_nothing() {
    let bench = bench(&[("desktops_cap", "1")], &three(), &[]);
    bench.loopback.meddle(|number, mut reply| {
        if number >= 1 {
            reply.status = 500;
        }
        Ok(reply)
    });
    assert!(found(&bench).is_err());
    bench.loopback.meddle(|_, mut reply| {
        let text = String::from_utf8(reply.body).unwrap();
        reply.body = text.replace("\"PC2\"", "17").into_bytes();
        Ok(reply)
    });
    assert_eq!(found(&bench), Err(Fault::BadAnswer), "a desktop without a name may be anybody's");
}
