"""Who may see and do what on pages: one row each, by everybody who may ask."""

from __future__ import annotations

from .rows import (
    ABOUT,
    ACCOUNT,
    AGAIN,
    CHANGE,
    FORGOTTEN,
    FOUNDING,
    GRANT,
    HOOK,
    INVITED,
    JOINING,
    OFFENCE,
    PHASE,
    ROLE,
    RULES,
    SEED,
    TASK,
    TRIED,
    WHY,
    Row,
    row,
)
from .things import DEPUTY, SECOND

PAGES: dict[str, Row] = {
    # visitor, alone, outsider, member, captain; reviewer, organiser, admin, stale; worker; tokens: read, submit, team,
    # organise. What the signs mean stands in `rows`.
    #                                                            vaomcrgAswRSTO
    # account
    "GET /account":                                       row("12222222212332"),
    "POST /account/password":                             row("12222222213333", CHANGE),
    "POST /account/second-factor":                        row("12222999113333"),
    "POST /account/second-factor/confirm":                row("10000000013333", {"code": "x"}),
    "POST /account/token":                                row("12222222213333", {"name": "x", "scopes": "read"}),
    "POST /account/token/{token_id}/take-back":           row("14442444413333"),
    # accounts
    "GET /login":                                         row("22222222222332"),
    "POST /login/form":                                   row("11111111113333", TRIED),
    "POST /logout/form":                                  row("12222222213333"),
    "GET /register":                                      row("22222222222332"),
    "POST /register/form":                                row("22222222223333", ACCOUNT),
    "GET /first-admin":                                   row("22222222222332"),
    "POST /first-admin/form":                             row("44444444443333", {**ACCOUNT, "secret": "x"}),
    "GET /forgotten":                                     row("22222222222332"),
    "POST /forgotten/form":                               row("22222222223333", {"email": "ASKER@e.org"}),
    "GET /reset":                                         row("22222222222332"),
    "POST /reset/form":                                   row("44444444443333", FORGOTTEN),
    # assets
    "GET /static/{name}":                                 row("22222222222222", name="{asset}"),
    # board
    "GET /board/{track}":                                 row("22222222222332"),
    "GET /result/{submission}":                           row("44422222242332"),
    # console
    "GET /console":                                       row("14444222214332"),
    # console_admin
    "GET /console/admin":                                 row("14444422214332"),
    "POST /console/admin/worker":                         row("14444442113333", {"name": "gpu-2"}),
    "POST /console/admin/worker/{name}/disable":          row("14444442113333"),
    "POST /console/admin/webhook":                        row("14444422213333", HOOK, webhook_id="ours"),
    "POST /console/admin/webhook/{webhook_id}/remove":    row("14444422213333", webhook_id="ours"),
    "POST /console/admin/webhook/{webhook_id}/test":      row("14444422213333", webhook_id="ours"),
    "GET /console/admin/users/{user_id}":                 row("14444442214334", user_id=DEPUTY),
    "POST /console/admin/users/{user_id}/role":           row("14444442113333", ROLE, user_id=DEPUTY),
    "POST /console/admin/users/{user_id}/disable":        row("14444442113333", WHY, user_id=DEPUTY),
    "POST /console/admin/users/{user_id}/enable":         row("14444442113333", WHY, user_id=DEPUTY),
    "POST /console/admin/users/{user_id}/second-factor":  row("14444442113333", WHY, user_id=DEPUTY),
    "POST /console/admin/users/{user_id}/reset":          row("14444442113333", WHY, user_id=DEPUTY),
    # console_appeals
    "GET /console/appeals":                               row("14444422214332"),
    "POST /console/appeals/{appeal}/decide":              row("14444422213333", {**WHY, "decision": "granted"}),
    # console_audit
    "GET /console/audit":                                 row("14444422214332"),
    "POST /console/audit/verify":                         row("14444422213333"),
    # console_boards
    "GET /console/boards":                                row("14444422214332"),
    "GET /console/boards/{track}/{kind}":                 row("14444422214332"),
    "POST /console/boards/{track}/{kind}/preview":        row("14444400013333"),
    "POST /console/boards/{track}/{kind}":                row("14444422213333", TASK),
    "GET /console/decisions/{decision}":                  row("14444422214332"),
    "POST /console/decisions/{decision}/second":          row("14444422113333"),
    "POST /console/decisions/{decision}/withdraw":        row("14444422213333"),
    # console_competition
    "GET /console/competition":                           row("14444422214332"),
    "POST /console/competition/phase":                    row("14444499913333", PHASE),
    "POST /console/competition/phase/{name}/remove":      row("14444400013333", name="smoke"),
    "POST /console/competition/rules":                    row("14444422113333", RULES),
    "POST /console/competition/slot":                     row("14444422213333", GRANT),
    "POST /console/competition/announcement":             row("14444422213333", {"title": "x", "body": "y"}),
    # console_queue
    "GET /console/queue":                                 row("14444422214332"),
    "POST /console/queue/pause":                          row("14444422213333", WHY),
    "POST /console/queue/resume":                         row("14444422213333", WHY),
    "GET /console/queue/{job}":                           row("14444422214332"),
    "POST /console/queue/{job}/requeue":                  row("14444499913333", WHY),
    "POST /console/queue/{job}/priority":                 row("14444422213333", {**WHY, "priority": "1"}),
    # console_reviews
    "GET /console/reviews":                               row("14444222214332"),
    "GET /console/reviews/{submission}":                  row("14444222214332"),
    "POST /console/reviews/{submission}/clear":           row("14444222213333", WHY),
    "POST /console/reviews/{submission}/preview":         row("14444222213333", OFFENCE),
    "POST /console/reviews/{submission}/confirm":         row("14444222113333", OFFENCE),
    "POST /console/reviews/{submission}/second/{decision}": row("14444222113333", decision="{charge}"),
    # console_stage2
    "GET /console/stage2":                                row("14444422214332"),
    "GET /console/stage2/{track}":                        row("14444422214332"),
    "POST /console/stage2/{track}/begin":                 row("14444400013333", ABOUT),
    "POST /console/stage2/{track}/draw":                  row("14444499913333", SEED),
    "GET /console/stage2/{track}/{team}":                 row("14444422214332"),
    "POST /console/stage2/{track}/{team}/move":           row("14444422213333", {**ABOUT, "event": "failed"}),
    "POST /console/stage2/{track}/{team}/figures":        row("14444422213333", AGAIN),
    # console_submissions
    "GET /console/submissions":                           row("14444222214332"),
    "GET /console/submissions/{submission}":              row("14444422214332"),
    "POST /console/submissions/{submission}/rerun":       row("14444422213333", WHY),
    "POST /console/submissions/{submission}/rescore":     row("14444422213333", WHY),
    "POST /console/submissions/{submission}/cancel":      row("14444422213333", WHY, submission="{running}"),
    # home
    "GET /":                                              row("22222222222332"),
    "GET /dates":                                         row("22222222222332"),
    "GET /rule-set":                                      row("22222222222332"),
    # smoke_run
    "GET /smoke-run":                                     row("12222222212332"),
    "POST /smoke-run/archive":                            row("12000222213333"),
    # submission
    "GET /submission/{submission}":                       row("14422222242332"),
    "GET /submission/{submission}/live":                  row("14422222242332"),
    "GET /submission/{submission}/log":                     row("14422222242332"),
    "POST /submission/{submission}/withdraw":             row("14422444443333"),
    "POST /submission/{submission}/appeal":               row("14499444443333", {"text": "no"}),
    # submit
    "GET /submit":                                        row("12222222212332"),
    "POST /submit/archive":                               row("12000222213333"),
    "GET /submit/{upload}":                               row("13422333312333"),
    "POST /submit/{upload}/hand-in":                      row("13499333313333"),
    "POST /submit/{upload}/smoke":                        row("13422333313333"),
    "POST /submit/{upload}/material":                     row("13499333313333"),
    "POST /submit/{upload}/give-up":                      row("13422333313333"),
    # team
    "GET /team":                                          row("12222222212332"),
    "POST /team/found":                                   row("12999333313333", FOUNDING),
    "GET /join":                                          row("12222222212332"),
    "POST /join/form":                                    row("12999333313333", {"team": "red", **JOINING}),
    "POST /team/tracks":                                  row("13232333313333", {"tracks": "compression"}),
    "POST /team/invite":                                  row("13232333313333", INVITED),
    "POST /team/invitation/{invitation_id}/take-back":    row("13432333313333"),
    "POST /team/leave":                                   row("13929333313333"),
    "POST /team/member/{user_id}/remove":                 row("13432333313333"),
    "POST /team/captain":                                 row("13432333313333", {"user": SECOND}),
    "POST /team/webhook":                                 row("13232333313333", HOOK),
    "POST /team/webhook/{webhook_id}/remove":             row("13432333313333"),
    "POST /team/webhook/{webhook_id}/test":               row("13432333313333"),
}  # fmt: skip
