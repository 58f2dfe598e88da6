//! Voters that lost their metadata: their nodes answer, but with other directories, which have no vote.
//!
//! Without a majority nobody can give those votes either. All nodes are up then, and only this tells what is wrong.

use super::members::Address;
use super::message::Known;
use crate::types::BrokerId;

/// Why nothing is decided any more, if a majority of the voters, by id and address, is known to have lost its metadata.
pub(super) fn majority<'a>(
    voters: impl Iterator<Item = (u64, &'a str)>,
    answers: &[&Known],
) -> Option<String> {
    let voters: Vec<(u64, Option<BrokerId>)> =
        voters.map(|(member, at)| (member, Address::parse(at).map(|at| at.node))).collect();
    // A voter that is newer than what is known here of the voters says so itself.
    let votes_itself = |known: &Known| known.voters.iter().any(|(member, _)| *member == known.member);
    let is_replaced = |(member, node): &(u64, Option<BrokerId>)| {
        let mut there = answers.iter().filter(|known| Some(known.node) == *node).peekable();
        there.peek().is_some() && there.all(|known| known.member != *member && !votes_itself(known))
    };
    let mut lost: Vec<BrokerId> =
        voters.iter().filter(|voter| is_replaced(voter)).filter_map(|(_, node)| *node).collect();
    lost.sort_unstable();
    let (kept, needed) = (voters.len() - lost.len(), voters.len() / 2 + 1);
    (!lost.is_empty() && kept < needed).then(|| {
        format!(
            "{} of {} voters have lost their metadata (nodes {}): nothing is decided until that of at least {} of them is restored",
            lost.len(),
            voters.len(),
            lost.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(", "),
            needed - kept
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    const VOTERS: [(u64, &str); 3] = [(101, "1@h:1"), (102, "2@h:2"), (103, "3@h:3")];

    fn answer(node: BrokerId, member: u64, voters: &[(u64, &str)]) -> Known {
        Known {
            node,
            member,
            directory: Uuid::nil(),
            is_controller: true,
            cluster_id: None,
            has_log: !voters.is_empty(),
            leader: None,
            voters: voters.iter().map(|(member, at)| (*member, (*at).to_owned())).collect(),
        }
    }

    fn told(answers: &[Known]) -> Option<String> {
        majority(VOTERS.into_iter(), &answers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_majority_that_answers_with_other_directories_is_named() {
        let (third, first) = (answer(3, 103, &VOTERS), answer(1, 201, &[]));
        assert_eq!(told(&[first.clone(), third.clone()]), None, "the second may be down, and have a vote");
        let all = [first, answer(2, 202, &VOTERS), third];
        let why = "2 of 3 voters have lost their metadata (nodes 1, 2): nothing is decided until that of at least 1 of them is restored";
        assert_eq!(told(&all).as_deref(), Some(why), "one of them follows without a vote");
    }

    #[test]
    fn who_has_voted_and_knows_no_voters_yet_tells_of_no_loss() {
        assert_eq!(majority([].into_iter(), &[&answer(1, 201, &[])]), None);
    }

    #[test]
    fn voters_that_were_replaced_meanwhile_have_lost_nothing() {
        let now = [(201, "1@h:1"), (202, "2@h:2"), (103, "3@h:3")];
        assert_eq!(told(&[answer(1, 201, &now), answer(2, 202, &now), answer(3, 103, &VOTERS)]), None);
        // Two processes answer for a node: one of them may be the voter.
        let twins = [answer(1, 201, &[]), answer(1, 101, &VOTERS), answer(2, 202, &[])];
        assert_eq!(told(&twins), None);
    }
}
