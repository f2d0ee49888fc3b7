#include "tools/millrace/publish.hpp"

#include <unistd.h>

#include <cstdio>
#include <vector>

#include "tools/millrace/connect.hpp"
#include "tools/millrace/interrupt.hpp"

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds patience = 60s;  // without progress
constexpr std::chrono::nanoseconds pulse = 200ms;   // how often a quiet publisher shows that it lives

// Offers the event until it is taken. Anything else than `ok` is for good; `back_pressured` here means interrupted.
Published offer(Publisher& publisher, const std::vector<std::byte>& payload, IdleStrategy& idle) {
  for (;;) {
    const Published published = publisher.publish(payload);
    switch (published.status) {
      case PublishStatus::back_pressured:
      case PublishStatus::refused:  // no sequence was used: the same as back pressure to who wants it in
      case PublishStatus::disconnected:
        break;
      default:
        if (published) idle.idle(1);
        return published;
    }
    if (interrupted()) return {PublishStatus::back_pressured, {}};
    idle.idle(0);
    publisher.idle();
  }
}

// Counts it and says what was wrong; whether to go on.
bool go_on_after(PublishCounts& counts, const PublishOptions& options, const std::string& wrong) {
  ++counts.bad;
  std::fprintf(stderr, "millrace: line %llu: %s\n", static_cast<unsigned long long>(counts.lines), wrong.c_str());
  return options.keep_going;
}

}  // namespace

Exit publish_lines(Lines& lines, Publisher& publisher, const schemas::EventType& type, const PublishOptions& options,
                   IdleStrategy& idle, PublishCounts& counts) {
  while (!interrupted()) {
    const Lines::Item item = lines.next(pulse);
    if (item.kind == Lines::Kind::end) return counts.bad > 0 ? Exit::usage : Exit::ok;
    if (item.kind == Lines::Kind::failed) return complain(fail_errno("cannot read standard input", errno).value());
    if (item.kind == Lines::Kind::quiet) {
      publisher.idle();
      continue;
    }
    ++counts.lines;
    if (item.kind == Lines::Kind::too_long) {
      if (!go_on_after(counts, options, "longer than 4 MiB")) return Exit::usage;
      continue;
    }
    if (item.text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto payload = type.from_json(item.text);
    if (!payload) {
      if (!go_on_after(counts, options, payload.error().message)) return Exit::usage;
      continue;
    }
    const Published published = offer(publisher, *payload, idle);
    switch (published.status) {
      case PublishStatus::ok:
        ++counts.published;
        counts.last = published.sequence;
        break;
      case PublishStatus::closed:
        return complain(publisher.error());
      case PublishStatus::too_large:
      case PublishStatus::invalid:
        if (!go_on_after(counts, options, "the event is " + std::string(to_string(published.status)))) {
          return Exit::usage;
        }
        break;
      default:  // interrupted
        break;
    }
  }
  return Exit::interrupted;
}

Exit await_last(Publisher& publisher, Sequence last, bool synced, IdleStrategy& idle, const Clock& clock) {
  Sequence seen;
  MonotonicTime end = clock.monotonic() + patience;
  for (;;) {
    const Sequence now = synced ? publisher.synced_sequence() : publisher.recorded_sequence();
    if (now >= last) return Exit::ok;
    if (interrupted()) return Exit::interrupted;
    if (now != seen) {
      seen = now;
      end = clock.monotonic() + patience;
    }
    if (clock.monotonic() > end) {
      return complain(
          {ErrorCode::timed_out, "events after sequence " + std::to_string(now.value()) + " are not known to be " +
                                     (synced ? "synced" : "recorded") +
                                     " yet; they may still be: ask `millrace status`, do not publish again"});
    }
    publisher.idle();
    idle.idle(0);
  }
}

Exit publish(const BusOptions& bus_options, const PublishOptions& options) {
  const auto bus = connect(bus_options);
  if (bus == nullptr) return Exit::no_core;
  const auto topic = bus->topic(options.topic);
  if (!topic) return complain(topic.error());
  auto publisher = bus->publisher(options.topic, options.name);
  if (!publisher) return complain(publisher.error());
  catch_interrupts();

  Lines lines(STDIN_FILENO);
  BackOffIdle idle;
  PublishCounts counts;
  Exit result = publish_lines(lines, *publisher, *topic->type, options, idle, counts);
  if (counts.published > 0 && result != Exit::interrupted && result != Exit::failed) {
    const Exit waited = await_last(*publisher, counts.last, options.wait == "synced", idle, system_clock());
    if (waited != Exit::ok) result = waited;
  }
  std::fprintf(stderr, "published %llu events, last sequence %llu", static_cast<unsigned long long>(counts.published),
               static_cast<unsigned long long>(counts.last.value()));
  if (counts.bad > 0) std::fprintf(stderr, ", %llu bad lines", static_cast<unsigned long long>(counts.bad));
  std::fputc('\n', stderr);
  return result;
}

}  // namespace millrace::cli
