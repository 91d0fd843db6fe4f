// Walks through every interleaving of two workers, the reaper, a person and the clock, up to a
// bound, over the functions of job_machine.h: the same ones that both stores run under the job's
// row lock. In every state that can be reached the invariants of docs/state_machines.md hold, and
// from every one of them the job can still come to an end.
//
// Bounds: kDepth actions, of which each kind counts only so far as it changes what is compared
// (Fingerprint): a state that was seen before is not walked again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler::interleavings {
namespace {

using enum JobState;

constexpr int kDepth = 9;
constexpr int64_t kMaxEpoch = 3;  // leases of one job
constexpr int64_t kMaxStep = 2;   // checkpoints
constexpr int64_t kMaxSaid = 2;   // events of one lease
constexpr absl::Duration kTtl = absl::Seconds(30);
constexpr RetryPolicy kPolicy{.max_lease_losses = 2};

// A worker as it sees itself; it goes on with a token until it is told that it is worth nothing.
struct Worker {
  std::string name;
  std::optional<LeaseToken> token;
  int64_t said = 0;  // events of this lease that were acknowledged
  int64_t step = 0;  // of its last checkpoint
};

// The job, what was written beside it, and everybody around it. A value: branches are copies.
struct World {
  Job job;
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  std::vector<Worker> workers{{"a", {}, 0, 0}, {"b", {}, 0, 0}};
  std::set<std::pair<int64_t, int64_t>> events;  // (epoch, worker_seq) in the history
  std::set<std::pair<int64_t, int64_t>> acknowledged;
  int64_t sequence = 0;
  bool retried = false;
};

struct Action {
  std::string name;
  std::function<void(World&)> run;
};

// What a store does: the mutation on a copy, kept if it is fine.
absl::Status Apply(World& world, const std::function<absl::Status(Job&, Effects&)>& mutation) {
  Job job = world.job;
  Effects effects;
  const absl::Status status = mutation(job, effects);
  if (!status.ok()) return status;
  const JobState before = world.job.state;
  EXPECT_TRUE(before == job.state || MayMove(before, job.state))
      << Name(before) << " to " << Name(job.state);
  EXPECT_NE(before == kSucceeded && job.state != kSucceeded, true) << "success was taken back";
  EXPECT_GE(job.lease_epoch, world.job.lease_epoch);
  EXPECT_GE(std::pair(job.last_checkpoint_epoch, job.last_checkpoint_step),
            std::pair(world.job.last_checkpoint_epoch, world.job.last_checkpoint_step))
      << "a checkpoint was lost";
  for (const JobEvent& event : effects.events) {
    ++world.sequence;
    if (event.worker_seq == 0) continue;
    EXPECT_TRUE(world.events.emplace(event.epoch, event.worker_seq).second) << "said twice";
  }
  world.job = std::move(job);
  return absl::OkStatus();
}

void ExpectInvariants(const World& world) {
  const Job& job = world.job;
  EXPECT_EQ(IsLeased(job.state), job.lease.has_value());
  EXPECT_EQ(IsTerminal(job.state), job.finish_time.has_value());
  EXPECT_TRUE(job.state != kQueued || job.ready_time.has_value());
  EXPECT_TRUE(job.state != kFailed || job.error.has_value());
  EXPECT_LT(job.lease_loss_count, kPolicy.max_lease_losses + (job.state == kFailed ? 1 : 0));
  for (const auto& said : world.acknowledged) {
    EXPECT_TRUE(world.events.contains(said))
        << "event " << said.second << " of epoch " << said.first << " was acknowledged and is lost";
  }
  int holders = 0;
  for (const Worker& worker : world.workers) {
    holders += worker.token.has_value() && CheckFence(job, *worker.token).ok() ? 1 : 0;
  }
  EXPECT_LE(holders, 1) << "two workers hold the job";
}

// A write of a worker: accepted if and only if its token is of the present lease.
void Write(World& world, Worker& worker,
           const std::function<absl::Status(Job&, Effects&)>& mutation,
           const std::function<void()>& accepted) {
  const bool holds = world.job.lease.has_value() && world.job.lease->worker == worker.name &&
                     worker.token->epoch == world.job.lease_epoch;
  const absl::Status status = Apply(world, mutation);
  EXPECT_EQ(status.ok(), holds) << status;
  if (status.ok()) {
    accepted();
    return;
  }
  EXPECT_TRUE(HasReason(status, "LEASE_LOST")) << status;
  worker.token.reset();  // it stops
}

Heartbeat BeatWith(int64_t seq) {
  JobEvent event;
  event.type = EventType::kMessage;
  event.message = "said";
  event.worker_seq = seq;
  return {.worker_seq = seq + 1, .events = {event}};
}

void Claim(World& world, Worker& worker) {
  const std::string secret = absl::StrCat("secret of ", world.job.lease_epoch + 1);
  EXPECT_OK(Apply(world, [&](Job& job, Effects& effects) {
    return Grant(job, {DigestOf(secret), worker.name, "life", world.now, world.now + kTtl, 0},
                 world.now, effects);
  }));
  worker.token = LeaseToken{world.job.id, world.job.lease_epoch, secret};
  worker.said = 0;
  worker.step = world.job.last_checkpoint_step;
}

// `seq` was acknowledged or not: a beat may be sent again.
void Say(World& world, Worker& worker, int64_t seq) {
  HeartbeatReply reply;
  const LeaseToken token = *worker.token;
  Write(
      world, worker,
      [&](Job& job, Effects& effects) {
        return Beat(job, token, BeatWith(seq), kTtl, world.now, effects, reply);
      },
      [&] {
        worker.said = std::max(worker.said, seq + 1);
        world.acknowledged.emplace(token.epoch, seq);
      });
}

void AddWorkersActions(const World& world, size_t who, std::vector<Action>& actions) {
  const Worker& worker = world.workers[who];
  const auto add = [&](const char* what, std::function<void(World&, Worker&)> run) {
    actions.push_back({absl::StrCat(worker.name, " ", what),
                       [who, run](World& next) { run(next, next.workers[who]); }});
  };
  if (!worker.token.has_value()) {
    if (world.job.state == kQueued && world.job.lease_epoch < kMaxEpoch) add("claims", &Claim);
    return;
  }
  if (worker.said < 2 * kMaxSaid) {
    add("says", [](World& next, Worker& me) { Say(next, me, me.said + 1); });
  }
  if (worker.said > 0) {
    add("repeats", [](World& next, Worker& me) { Say(next, me, me.said - 1); });
  }
  if (worker.step < kMaxStep) {
    add("records a checkpoint", [](World& next, Worker& me) {
      const Checkpoint checkpoint{.step = me.step + 1, .digest = "sha256:c"};
      Write(
          next, me,
          [&, token = *me.token](Job& job, Effects& effects) {
            return RecordCheckpoint(job, token, checkpoint, next.now, effects);
          },
          [&] { me.step += 1; });
    });
  }
  const auto end = [&](const char* what, auto mutation) {
    add(what, [mutation](World& next, Worker& me) {
      const LeaseToken token = *me.token;
      Write(
          next, me,
          [&](Job& job, Effects& effects) { return mutation(job, token, next.now, effects); },
          [&] { me.token.reset(); });
    });
  };
  end("completes", [](Job& job, const LeaseToken& token, absl::Time now, Effects& effects) {
    return Complete(job, token, Outcome{}, kPolicy, now, effects);
  });
  end("fails", [](Job& job, const LeaseToken& token, absl::Time now, Effects& effects) {
    Outcome outcome;
    outcome.error = JobError{ErrorClass::kInfrastructure, "DISK_FULL", "full", "", ""};
    return Complete(job, token, outcome, kPolicy, now, effects);
  });
  end("gives back", [](Job& job, const LeaseToken& token, absl::Time now, Effects& effects) {
    return Release(job, token, ReleaseReason::kDrain, "", kPolicy, now, effects);
  });
  end("crashes and says so",
      [](Job& job, const LeaseToken& token, absl::Time now, Effects& effects) {
        return Release(job, token, ReleaseReason::kCrashed, "no peers", kPolicy, now, effects);
      });
  add("dies", [](World&, Worker& me) { me.token.reset(); });
  add("dies and its parent says so", [](World& next, Worker& me) {
    me.token.reset();
    EXPECT_OK(Apply(next, [&](Job& job, Effects& effects) {
      return Crash(job, me.name, "life", "signal 9", kPolicy, next.now, effects);
    }));
  });
}

std::vector<Action> ActionsIn(const World& world) {
  std::vector<Action> actions;
  for (size_t who = 0; who < world.workers.size(); ++who) AddWorkersActions(world, who, actions);
  const auto add = [&](const char* what, auto mutation) {
    actions.push_back({what, [mutation](World& next) {
                         Apply(next, [&](Job& job, Effects& effects) {
                           return mutation(job, next.now, effects);
                         }).IgnoreError();
                       }});
  };
  // Verbs may come in any state; those that do not fit are refused and change nothing.
  add("cancel",
      [](Job& job, absl::Time now, Effects& effects) { return Cancel(job, now, effects); });
  add("pause", [](Job& job, absl::Time now, Effects& effects) { return Pause(job, now, effects); });
  add("resume", [](Job& job, absl::Time now, Effects& effects) {
    return Resume(job, Dependencies::kMet, now, effects);
  });
  if (!world.retried) {
    actions.push_back({"retry", [](World& next) {
                         next.retried = Apply(next, [&](Job& job, Effects& effects) {
                                          return Retry(job, Dependencies::kMet, next.now, effects);
                                        }).ok();
                       }});
  }
  add("reaper", [](Job& job, absl::Time now, Effects& effects) {
    return Expire(job, kPolicy, now, effects);
  });
  add("unblock", [](Job& job, absl::Time now, Effects& effects) {
    return Unblock(job, Dependencies::kMet, now, effects);
  });
  if (world.job.lease.has_value() && world.job.lease->expire_time >= world.now) {
    actions.push_back({"a lease's time passes", [](World& next) {
                         next.now = next.job.lease->expire_time + absl::Seconds(1);
                       }});
  }
  if (world.job.state == kBlocked && world.job.start_time > world.now) {
    actions.push_back(
        {"the back-off passes", [](World& next) { next.now = *next.job.start_time; }});
  }
  return actions;
}

// All that later actions depend on. Times count by what they decide.
std::string Fingerprint(const World& world) {
  const Job& job = world.job;
  const bool expired = job.lease.has_value() && job.lease->expire_time < world.now;
  const bool waits = job.start_time.has_value() && *job.start_time > world.now;
  std::string text =
      absl::StrCat(static_cast<int>(job.state), "/", job.lease_epoch, "/", job.failure_count, "/",
                   job.lease_loss_count, "/", job.last_checkpoint_step, "/",
                   job.last_checkpoint_epoch, "/", job.checkpoint_step_at_loss, "/", expired, waits,
                   world.retried, "/", job.lease.has_value() ? job.lease->last_worker_seq : -1);
  for (const Worker& worker : world.workers) {
    absl::StrAppend(&text, "/", worker.token.has_value() ? worker.token->epoch : 0, ".",
                    worker.token.has_value() ? worker.said : 0, ".",
                    worker.token.has_value() ? worker.step : 0);
  }
  return text;
}

// With everybody doing what they should, the job ends: nothing is stuck.
void ExpectItCanEnd(World world) {
  for (int turn = 0; turn < 4 && !IsTerminal(world.job.state); ++turn) {
    world.now += absl::Hours(1);
    Apply(world, [&](Job& job, Effects& effects) {
      return Expire(job, kPolicy, world.now, effects);
    }).IgnoreError();
    Apply(world, [&](Job& job, Effects& effects) {
      return Resume(job, Dependencies::kMet, world.now, effects);
    }).IgnoreError();
    Apply(world, [&](Job& job, Effects& effects) {
      return Unblock(job, Dependencies::kMet, world.now, effects);
    }).IgnoreError();
    if (world.job.state != kQueued) continue;
    Worker fresh{"c", {}, 0, 0};
    Claim(world, fresh);
    EXPECT_OK(Apply(world, [&](Job& job, Effects& effects) {
      return Complete(job, *fresh.token, Outcome{}, kPolicy, world.now, effects);
    }));
  }
  EXPECT_TRUE(IsTerminal(world.job.state)) << "stuck in " << Name(world.job.state);
}

World FreshWorld() {
  World world;
  world.job.id = "job";
  world.job.max_failures = 2;
  world.job.state = kValidating;
  Validated validated;
  validated.inputs.base_digest = "sha256:base";
  EXPECT_OK(Apply(world, [&](Job& job, Effects& effects) {
    return Accept(job, validated, Dependencies::kMet, world.now, effects);
  }));
  return world;
}

TEST(Interleavings, InvariantsHoldInEveryStateThatCanBeReachedAndNoneIsStuck) {
  struct Node {
    World world;
    std::vector<std::string> path;
  };
  std::deque<Node> frontier{{FreshWorld(), {}}};
  std::unordered_set<std::string> seen{Fingerprint(frontier.front().world)};
  std::set<JobState> states;
  std::set<std::pair<JobState, JobState>> moves;
  int64_t steps = 0;
  bool rested_after_a_crash = false;
  while (!frontier.empty()) {
    const Node node = std::move(frontier.front());
    frontier.pop_front();
    states.insert(node.world.job.state);
    if (node.path.size() == kDepth) continue;
    for (const Action& action : ActionsIn(node.world)) {
      Node next = node;
      next.path.push_back(action.name);
      action.run(next.world);
      ++steps;
      ExpectInvariants(next.world);
      const JobState from = node.world.job.state, to = next.world.job.state;
      if (from != to) moves.emplace(from, to);
      rested_after_a_crash |=
          from == kRunning && to == kBlocked && next.world.job.failure_count == 0;
      if (!seen.insert(Fingerprint(next.world)).second) continue;
      ExpectItCanEnd(next.world);
      ASSERT_FALSE(HasFailure()) << "after: " << absl::StrJoin(next.path, ", ");
      frontier.push_back(std::move(next));
    }
  }
  std::printf("%zu states, %ld steps\n", seen.size(), steps);
  // The walk is worth something only if it comes everywhere: all states but VALIDATING, which it
  // begins after, and every move that a worker, a verb or the reaper can cause.
  EXPECT_EQ(states.size(), 9u);
  for (const Move& move : AllMoves()) {
    const bool by_deadline = move.to == kFailed && move.from != kRunning;
    // A start time or dependency that is not reached sends these two to BLOCKED; here both are.
    const bool waits = move.to == kBlocked && move.from != kRunning;
    if (move.from == kValidating || by_deadline || waits) continue;
    EXPECT_TRUE(moves.contains({move.from, move.to})) << Name(move.from) << " to " << Name(move.to);
  }
  EXPECT_TRUE(rested_after_a_crash) << "no worker that lives on has said that it crashed";
  EXPECT_GT(seen.size(), 5'000u);
}

}  // namespace
}  // namespace crossover::scheduler::interleavings
