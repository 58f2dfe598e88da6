//! What `kafka-metadata-quorum.sh describe --replication` prints.

/// A member of the quorum: a line of the table.
#[derive(Debug)]
pub struct Member {
    pub node: String,
    pub directory: String,
    pub votes: bool,
}

/// The lines of the table.
pub fn members(table: &str) -> Vec<Member> {
    let rows = table.lines().skip_while(|line| !line.starts_with("NodeId")).skip(1);
    let member = |row: &str| {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [node, directory, .., status] = cells[..] else { return None };
        Some(Member { node: node.into(), directory: directory.into(), votes: status != "Observer" })
    };
    rows.filter_map(member).collect()
}

/// The directory with which a node has a vote.
#[track_caller]
pub fn voting_directory<'a>(members: &'a [Member], node: &str) -> &'a str {
    let voter = members.iter().find(|one| one.votes && one.node == node);
    &voter.unwrap_or_else(|| panic!("{node} has no vote: {members:?}")).directory
}
