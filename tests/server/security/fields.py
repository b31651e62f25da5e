"""The table of fields: by what is asked for, all that anybody sees of it."""

from __future__ import annotations

FIELDS = {
    "/me": (
        "account.id account.email account.name account.role account.second_factor account.disabled account.created "
        "acting team scopes fresh csrf"
    ),
    "/tokens": "id name scopes created expires used token",
    "/admin/users": "id email name role second_factor disabled created",
    "/admin/workers": "name created seen disabled key",
    "/admin/audit": (
        "entries.number entries.time entries.actor entries.role entries.action entries.object entries.before "
        "entries.after entries.reason entries.previous entries.hash next"
    ),
    "/boards": "track state revision published objections",
    "/boards/{track}": (
        "track state revision published reason rules rules_digest selection maximum tasks.* memory_limit "
        "memory_meter throughput_source teams lines.rank lines.team lines.submission lines.total lines.why "
        "lines.review lines.tasks.*.score lines.tasks.*.place lines.tasks.*.tied lines.tasks.*.points "
        "lines.size.memory lines.size.meters lines.size.parameters lines.size.bytes baseline tasks.HIDDEN "
        "lines.tasks.HIDDEN.score lines.tasks.HIDDEN.place lines.tasks.HIDDEN.tied lines.tasks.HIDDEN.points"
    ),
    "/boards/{track}/standings": (
        "board.rank board.submission board.tasks.*.place board.tasks.*.points board.tasks.*.score "
        "board.tasks.*.tied board.team board.total board.why board_ranks entries_digest maximum revision rules "
        "rules_digest selection sensitivity.largest_move sensitivity.podium sensitivity.selection "
        "sensitivity.winners state submissions.represents submissions.submission submissions.tasks.*.place "
        "submissions.tasks.*.points submissions.tasks.*.score submissions.tasks.*.tied submissions.team "
        "submissions.value tasks.* track board.tasks.HIDDEN.place board.tasks.HIDDEN.points "
        "board.tasks.HIDDEN.score board.tasks.HIDDEN.tied submissions.tasks.HIDDEN.place "
        "submissions.tasks.HIDDEN.points submissions.tasks.HIDDEN.score submissions.tasks.HIDDEN.tied tasks.HIDDEN"
    ),
    "/boards/{track}/sensitivity": (
        "track revision selection rows.selection rows.winners rows.podium rows.largest_move"
    ),
    "/boards/{track}/history": (
        "track revisions.revision revisions.state revisions.published revisions.reason revisions.standings "
        "revisions.difference revisions.difference.revisions revisions.difference.maximum "
        "revisions.difference.changes.team revisions.difference.changes.before.rank "
        "revisions.difference.changes.before.total revisions.difference.changes.before.submission "
        "revisions.difference.changes.after.rank revisions.difference.changes.after.total "
        "revisions.difference.changes.after.submission"
    ),
    "/results/{submission}": (
        "submission team title track state revision review standing.rank standing.represents standing.why "
        "standing.value standing.tasks.*.score standing.tasks.*.place standing.tasks.*.tied standing.tasks.*.points "
        "models.*.name models.*.tasks.*.score models.*.tasks.*.protocol models.*.tasks.*.standard_error "
        "models.*.throughput models.*.repeats_ns models.*.beside.prefill models.*.beside.decode "
        "models.*.beside.first_token_ns models.*.beside.spread models.*.beside.kit_2024 "
        "models.*.beside.bytes_per_token models.*.beside.memory.* models.*.peak_memory models.*.meter "
        "models.*.parameters models.*.bytes standing.tasks.HIDDEN.score standing.tasks.HIDDEN.place "
        "standing.tasks.HIDDEN.tied standing.tasks.HIDDEN.points models.*.tasks.HIDDEN.score "
        "models.*.tasks.HIDDEN.protocol models.*.tasks.HIDDEN.standard_error code code.path code.size "
        "code.sha256"
    ),
    "/competitions": (
        "title rules tracks phases.name phases.kind phases.opens phases.closes phases.shown phases.open now"
    ),
    "/tracks": "name derivation slots submissions attempts",
    "/phases": "name kind opens closes shown open",
    "/announcements": "id title body created",
    "/healthz": "status",
    "/health": "status",
    "/ready": "status audit head",
    "/admin/decisions": (
        "id kind body.* team reason proposed_by proposer seconded_by seconder created applied withdrawn"
    ),
    "/admin/health": "version python database free reserve unsent.mail unsent.webhook entries signs settings.*",
    "/jobs/{job_id}/lacking": "files.path files.size files.sha256 hosts",
    "/admin/queue": (
        "paused workers.name workers.created workers.seen workers.disabled workers.key waiting.id waiting.kind "
        "waiting.submission waiting.title waiting.team waiting.state waiting.priority waiting.attempt waiting.fence "
        "waiting.worker waiting.lease_ends waiting.not_before waiting.created waiting.ended waiting.cause "
        "waiting.before leased.id leased.kind leased.submission leased.title leased.team leased.state "
        "leased.priority leased.attempt leased.fence leased.worker leased.lease_ends leased.not_before "
        "leased.created leased.ended leased.cause leased.before"
    ),
    "/admin/reviews": (
        "submission title team team_id track phase state review flags.code flags.severity flags.path flags.what "
        "flags.why flags.mend flags.evidence.* decisions.id decisions.kind decisions.body.* decisions.team "
        "decisions.reason decisions.proposed_by decisions.proposer decisions.seconded_by decisions.seconder "
        "decisions.created decisions.applied decisions.withdrawn"
    ),
    "/teams/{team}/stage2": "track submission title state drawn material changed opens closes",
    "/teams/{team}/slots": (
        "ledgers.track ledgers.phase ledgers.slots.number ledgers.slots.use ledgers.slots.submission "
        "ledgers.slots.state ledgers.attempts"
    ),
    "/stage2/{track}": (
        "track begun over finalists.rank finalists.team finalists.submission finalists.state finalists.drawn"
    ),
    "/admin/stage2/{track}": "rank team submission state drawn team_id due material reason changed",
    "/submissions": (
        "submissions.id submissions.team submissions.team_name submissions.track submissions.phase submissions.kind "
        "submissions.manifest submissions.title submissions.received submissions.state submissions.stage "
        "submissions.code submissions.sentence submissions.fault submissions.review submissions.changed "
        "submissions.slot"
    ),
    "/submissions/{submission}": (
        "id team team_name track phase kind manifest title received state stage code sentence fault review changed "
        "slot before wait wait_unknown attempt seen parts.* over"
    ),
    "/submissions/{submission}/findings": (
        "findings.code findings.severity findings.path findings.what findings.why findings.mend findings.evidence.* "
        "reason"
    ),
    "/submissions/{submission}/log": "lines.job lines.number lines.time lines.text next",
    "/submissions/{submission}/appeals": (
        "appeals.id appeals.submission appeals.text appeals.created appeals.decision appeals.reason appeals.decided "
        "deadline"
    ),
    "/appeals": (
        "appeals.id appeals.submission appeals.text appeals.created appeals.decision appeals.reason appeals.decided "
        "deadline"
    ),
    "/teams": (
        "id name tracks created members.user members.name members.email members.captain members.student "
        "members.joined invitations.id invitations.email invitations.created invitations.expires invitations.secret"
    ),
    "/teams/{team_id}": (
        "id name tracks created members.user members.name members.email members.captain members.student "
        "members.joined invitations.id invitations.email invitations.created invitations.expires invitations.secret"
    ),
    "/smoke": "phase.name phase.kind phase.opens phase.closes phase.shown phase.open most left",
    "/uploads": (
        "uploads.id uploads.title uploads.track uploads.manifest uploads.begun uploads.expires uploads.size "
        "uploads.lacking uploads.left most"
    ),
    "/uploads/{upload}": "id title manifest track part nonce",
    "/teams/{team_id}/webhooks": "id url created last_sent secret",
    "/admin/webhooks": "id url created last_sent secret",
    "/admin/revisions/preview": (
        "track scope difference.revisions difference.maximum difference.voided difference.changes.team "
        "difference.changes.before.rank difference.changes.before.total difference.changes.before.submission "
        "difference.changes.after.rank difference.changes.after.total difference.changes.after.submission"
    ),
}

_HIDDEN = {  # of hold-outs, by what is asked for
    "/boards/{track}": (
        "tasks.HIDDEN", *(f"lines.tasks.HIDDEN.{name}" for name in ("score", "place", "tied", "points")),
    ),
    "/boards/{track}/standings": (
        "tasks.HIDDEN", *(f"{of}.tasks.HIDDEN.{name}" for of in ("board", "submissions")
                          for name in ("score", "place", "tied", "points")),
    ),
    "/results/{submission}": (
        *(f"standing.tasks.HIDDEN.{name}" for name in ("score", "place", "tied", "points")),
        "models.*.tasks.HIDDEN.score", "models.*.tasks.HIDDEN.protocol",
    ),
}  # fmt: skip
_REVIEWERS = "reviewer organiser admin stale organise"
_READERS = f"visitor alone outsider member captain worker read {_REVIEWERS}"  # all but tokens that read nothing

# By field: in which states of the board it is seen, and by whom, where that is not by all who see the rest.
ONLY = {
    **{f"{path} {field}": ("provisional final", _READERS if path.startswith("/results") else "all")
       for path, fields in _HIDDEN.items() for field in fields},
    "/submissions/{submission}/findings findings.evidence.*": ("live frozen provisional final", _REVIEWERS),
    "/admin/reviews flags.evidence.*": ("live frozen provisional final", _REVIEWERS),
}  # fmt: skip

# Secrets, which are told once, when they are made: the fields are empty ever after.
ONCE = (
    "/tokens token", "/admin/workers key", "/admin/queue workers.key", "/teams invitations.secret",
    "/teams/{team_id} invitations.secret", "/teams/{team_id}/webhooks secret", "/admin/webhooks secret",
)  # fmt: skip
