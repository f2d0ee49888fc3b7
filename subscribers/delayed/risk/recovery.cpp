#include "subscribers/delayed/risk/recovery.hpp"

#include <string>
#include <utility>

#include "bus/base/clock.hpp"
#include "bus/base/log.hpp"

namespace millrace::delayed::risk {
namespace {

constexpr std::chrono::seconds kAlertsWithin(60);

Offset end_of(const State& state, Input input) {
  switch (input) {
    case Input::trades:
      return state.trades_read.end;
    case Input::books:
      return state.books_read.end;
    case Input::accounts:
      return state.accounts_read.end;
  }
  return {};
}

}  // namespace

Result<std::optional<Snapshot>> newest(wal::SnapshotFolder& folder, Sequence recorded) {
  std::optional<Snapshot> found;
  const auto take = [&](std::span<const std::byte> bytes) -> Status {
    auto snapshot = decode(bytes);
    if (!snapshot) return fail(snapshot.error());
    if (snapshot->memory.alerts > recorded) {
      return fail(ErrorCode::sequence_error, "it names alert " + std::to_string(snapshot->memory.alerts.value()) +
                                                 ", of which the log has only " + std::to_string(recorded.value()));
    }
    found = std::move(*snapshot);
    return {};
  };
  const auto any = folder.newest(take, [](const std::string& path, const Error& why) {
    log().warn("the snapshot {} cannot be used: {}", path, why.message);
  });
  if (!any) return fail(any.error());
  return found;
}

Result<std::optional<Alert>> take_alerts(Subscriber& alerts, Publisher& publisher, Sequence recorded, Memory& memory) {
  std::optional<Alert> last;
  Sequence seen;
  bool missing = false;
  const MonotonicTime by = system_clock().monotonic() + kAlertsWithin;
  while (seen < recorded) {
    publisher.idle();
    const auto count = alerts.poll<schemas::RiskAlert>([&](const schemas::RiskAlert& event, const Event& at) {
      if (at.publisher != publisher.id() || at.sequence() > recorded) return;
      seen = at.sequence();
      last = read(event);
      last->cause = at.frame.cause();
      last->cause_index = at.frame.cause_index();
      if (seen <= memory.alerts) return;
      missing = missing || seen != memory.alerts.next();
      memory.standing.apply(*last);
      memory.alerts = seen;
    });
    if (count == 0 && !missing) {
      if (const auto error = alerts.error()) return fail(*error);
      // Read to its end, the log no longer has the last one. A memory that knows it stands behind it.
      const auto fresh = alerts.follower()->freshness();
      if (fresh.next >= fresh.synced_end && memory.alerts >= recorded) return last;
      missing = fresh.next >= fresh.recorded_end;
    }
    if (missing) {
      return fail(ErrorCode::deleted,
                  "the risk engine's alerts are not all in the log of risk_alerts any more, and no snapshot has what "
                  "they said: restore that log, or start under another name and with an empty folder of snapshots");
    }
    if (count > 0) continue;
    if (system_clock().monotonic() >= by) {
      return fail(ErrorCode::timed_out, "alert " + std::to_string(recorded.value()) +
                                            " of this engine is recorded but does not come from the log; is the core "
                                            "running, and its disk well?");
    }
    (void)alerts.wait(std::chrono::milliseconds(100));
  }
  return last;
}

Status check_reach(Input input, Subscriber& subscriber, const std::optional<Alert>& last) {
  if (!last) return {};
  const Offset named =
      std::array{last->trades_end, last->books_end, last->accounts_end}[static_cast<std::size_t>(input)];
  const Offset end = subscriber.follower()->freshness().synced_end;
  if (named <= end) return {};
  return fail(ErrorCode::rolled_back, "the alerts of this engine name events of '" +
                                          std::string(kInputNames[static_cast<std::size_t>(input)]) +
                                          "' up to offset " + std::to_string(named.value()) + ", and the log ends at " +
                                          std::to_string(end.value()) +
                                          ": restore that log, or start under another name and with an empty folder of "
                                          "snapshots");
}

Start start_of(Input input, const std::optional<Snapshot>& snapshot) {
  if (snapshot) {
    const auto& log = snapshot->logs[static_cast<std::size_t>(input)];
    return millrace::Position{log.id, log.run, end_of(snapshot->memory.state, input)};
  }
  if (input == Input::trades) return Offset(0);
  return StartEarliest{};
}

Result<Subscriber> subscribe_input(Bus& bus, Input input, const std::optional<Snapshot>& snapshot) {
  const std::string topic = kInputNames[static_cast<std::size_t>(input)];
  auto subscriber = bus.subscribe(topic, {.level = Level::synced, .start = start_of(input, snapshot)});
  if (subscriber) return subscriber;
  if (input != Input::trades && subscriber.error().code == ErrorCode::deleted) {
    return bus.subscribe(topic, {.level = Level::synced, .start = StartEarliest{}});
  }
  return fail(subscriber.error().code,
              "the risk engine cannot go on in '" + topic + "' from " +
                  (snapshot ? "where its snapshot stands" : "the first event, having no snapshot that can be used") +
                  ": " + subscriber.error().message +
                  "; restore that log, or start under another name and with an empty folder of snapshots");
}

}  // namespace millrace::delayed::risk
