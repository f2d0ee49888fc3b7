#include "tools/millrace/tail.hpp"

#include <algorithm>
#include <cstdio>

#include "subscribers/historical/filter.hpp"
#include "tools/millrace/connect.hpp"
#include "tools/millrace/event_line.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/selection.hpp"

namespace millrace::cli {
namespace {

void say_gap(const Gap& gap) {
  std::fprintf(stderr, "millrace: publisher %llu: events %llu to %llu are missing: %s\n",
               static_cast<unsigned long long>(gap.publisher.value()),
               static_cast<unsigned long long>(gap.from.value()), static_cast<unsigned long long>(gap.to.value()),
               std::string(to_string(gap.reason)).c_str());
}

// Says once each time that the core goes away or comes back.
class ConnectionNotice {
 public:
  void look(const Follower& follower) {
    const bool connected = follower.freshness().connected;
    if (connected == connected_) return;
    connected_ = connected;
    std::fprintf(stderr, "millrace: the core %s\n", connected ? "is back" : "is away; waiting for it");
  }

 private:
  bool connected_ = true;
};

Status check(const TailOptions& options, Level level) {
  if (level != Level::live || (options.follow && options.from == "latest")) return {};
  return fail(ErrorCode::invalid_argument,
              "level live begins now and never ends: --from and --no-follow want level recorded or synced");
}

}  // namespace

Exit tail_events(Subscriber& subscriber, const schemas::EventType& type, const TailOptions& options, IdleStrategy& idle,
                 Output& out) {
  const auto filter = historical::Filter::make(options.filters, type);
  if (!filter) return complain(filter.error());
  subscriber.verify(false);  // what is invalid is shown as such, not left out
  Follower* const follower = subscriber.follower();

  std::optional<Offset> stop;
  if (!options.follow) {
    const auto freshness = follower->freshness();
    stop = options.level == "synced" ? freshness.synced_end : freshness.recorded_end;
  }
  std::uint64_t left = options.limit.value_or(UINT64_MAX);
  bool ended = left == 0;
  ConnectionNotice notice;
  while (!ended && !interrupted()) {
    if (stop && follower->position().offset >= *stop && !follower->giving_snapshot()) break;
    const std::size_t work = subscriber.poll([&](const Event& event) {
      if (ended || (stop && *event.offset >= *stop)) return;
      if (!filter->may_match(event.frame.header())) return;
      const bool valid = type.id() == event.frame.event_type() && type.verify(event.payload());
      if (!options.filters.empty() && !(valid && filter->matches(event.payload()))) return;
      append_event_line(event, valid ? &type : nullptr, out.text());
      ended = --left == 0;
    });
    if (follower != nullptr && follower->error()) {
      const Exit failed = complain(*follower->error());
      return out.finish(failed);
    }
    if (work > 0) {
      if (!out.flush_if_large()) break;
    } else {
      if (!out.flush() || !out.has_reader()) break;
      if (follower != nullptr) notice.look(*follower);
    }
    idle.idle(work);
  }
  return out.finish();
}

Exit tail(const BusOptions& bus_options, const TailOptions& options) {
  const auto start = parse_start(options.from);
  if (!start) return complain(start.error());
  const auto level = parse_level(options.level);
  if (!level) return complain(level.error());
  if (const Status sound = check(options, *level); !sound) return complain(sound.error());

  const auto bus = connect(bus_options);
  if (bus == nullptr) return Exit::no_core;
  const auto topic = bus->topic(options.topic);
  if (!topic) return complain(topic.error());
  if (const auto filter = historical::Filter::make(options.filters, *topic->type); !filter)
    return complain(filter.error());
  auto subscriber = bus->subscribe(options.topic,
                                   {.level = *level, .start = *start, .on_gap = say_gap, .snapshot = options.snapshot});
  if (!subscriber) return complain(subscriber.error());
  catch_interrupts();
  Output out;
  BackOffIdle idle({.spins = 16,
                    .yields = 4,
                    .min_sleep = std::chrono::microseconds(20),
                    .max_sleep = std::chrono::milliseconds(2)});
  return tail_events(*subscriber, *topic->type, options, idle, out);
}

}  // namespace millrace::cli
