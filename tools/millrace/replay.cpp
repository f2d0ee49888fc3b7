#include "tools/millrace/replay.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "bus/base/rfc3339.hpp"
#include "tools/millrace/connect.hpp"
#include "tools/millrace/event_line.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/log_folder.hpp"
#include "tools/millrace/selection.hpp"

namespace millrace::cli {
namespace {

using historical::Notice;
using historical::Replay;
using historical::ReplayTopic;
using historical::TopicLog;

bool is_folder(const std::string& text) {
  std::error_code ignored;
  return text.find('/') != std::string::npos || std::filesystem::is_directory(text, ignored);
}

// Where each topic is read. A core is asked only for topics by name.
class Logs {
 public:
  Logs(const BusOptions& options, const ReplayCommand& command, Level level)
      : options_(&options), command_(&command), level_(level) {}

  // False: the core does not answer, which was said.
  [[nodiscard]] bool reach() {
    const auto& topics = command_->topics;
    if (!command_->config.empty() || std::all_of(topics.begin(), topics.end(), is_folder)) return true;
    bus_ = connect(*options_);
    return bus_ != nullptr;
  }
  [[nodiscard]] Result<TopicLog> find(const std::string& topic) const {
    if (!is_folder(topic) && bus_ != nullptr) return historical::bus_topic(*bus_, topic, level_);
    const auto folder = find_log({.log = topic, .config = command_->config});
    if (!folder) return fail(folder.error());
    return historical::log_folder(*folder, command_->root);
  }

 private:
  const BusOptions* options_;
  const ReplayCommand* command_;
  Level level_;
  std::unique_ptr<Bus> bus_;
};

struct Parsed {
  historical::From from;
  historical::To to;
  historical::Speed speed;
  Level level;
};

Result<Parsed> parse(const ReplayCommand& command) {
  Parsed parsed{};
  const auto start = parse_start(command.from);
  if (!start) return fail(start.error());
  std::visit([&](const auto& value) { parsed.from = value; }, *start);
  if (!command.consumer.empty()) parsed.from = historical::FromConsumer{command.consumer};
  const auto end = parse_end(command.to);
  if (!end) return fail(end.error());
  parsed.to = command.follow ? historical::To(historical::ToNever{}) : *end;
  const auto speed = historical::parse_speed(command.speed);
  if (!speed) return fail(speed.error());
  parsed.speed = *speed;
  const auto level = parse_level(command.level);
  if (!level) return fail(level.error());
  parsed.level = *level;
  return parsed;
}

ProgressLook look(const Replay& replay) {
  ProgressLook found{.done = 0, .total = 0};
  for (std::size_t i = 0; i < replay.topics(); ++i) {
    const auto& range = replay.range(i);
    if (replay.position(i) > range.from) found.done += replay.position(i) - range.from;
    if (found.total) found.total = range.to ? std::optional(*found.total + (*range.to - range.from)) : std::nullopt;
  }
  if (replay.topics() == 1) found.position = "offset " + std::to_string(replay.position().value());
  if (const auto time = replay.record_time()) {
    found.position += found.position.empty() ? "" : ", ";
    append_rfc3339(*time, found.position);
  }
  return found;
}

}  // namespace

void ReplayNotices::tell(const Notice& notice) {
  progress_->clear();
  if (notice.kind == Notice::Kind::gap) {
    std::fprintf(stderr, "millrace: %s: publisher %llu: events %llu to %llu are missing: %s\n",
                 names_[notice.topic].c_str(), static_cast<unsigned long long>(notice.gap.publisher.value()),
                 static_cast<unsigned long long>(notice.gap.from.value()),
                 static_cast<unsigned long long>(notice.gap.to.value()),
                 std::string(to_string(notice.gap.reason)).c_str());
    return;
  }
  std::fprintf(stderr, "millrace: %s: %s\n", names_[notice.topic].c_str(), notice.message.c_str());
  if (notice.kind != Notice::Kind::rolled_back) exit_ = Exit::failed;
}

Exit replay_events(Replay& replay, const ReplayCommand& command, IdleStrategy& idle, Progress& progress, Output& out) {
  std::vector<std::string> heads;  // names the topic in each line, where there are several
  for (std::size_t i = 0; i < replay.topics(); ++i) heads.push_back("{\"topic\":\"" + replay.name(i) + "\",");
  const auto print = [&](const Event& event, std::size_t topic) {
    if (command.quiet) return;
    const std::size_t begin = out.text().size();
    append_event_line(event, replay.type(topic), out.text());
    if (heads.size() > 1) out.text().replace(begin, 1, heads[topic]);
  };
  constexpr std::size_t poll_events = 256;
  const std::uint64_t limit = command.limit.value_or(UINT64_MAX);
  bool connected = true;
  while (!interrupted() && !replay.ended() && replay.counts().handed_over < limit) {
    const std::uint64_t left = limit - replay.counts().handed_over;
    const std::size_t work = replay.poll(print, static_cast<std::size_t>(std::min<std::uint64_t>(left, poll_events)));
    if (progress.due()) progress.show(look(replay));
    if (replay.error()) {
      progress.clear();
      return out.finish(complain(*replay.error()));
    }
    if (work > 0) {
      if (!out.flush_if_large()) break;
    } else {
      if (!out.flush() || !out.has_reader()) break;
      if (replay.connected() != connected) {
        connected = !connected;
        progress.clear();
        std::fprintf(stderr, "millrace: the core %s\n", connected ? "is back" : "is away; waiting for it");
      }
    }
    idle.idle(work);
  }
  progress.finish(look(replay));
  return out.finish();
}

Exit replay(const BusOptions& bus_options, const ReplayCommand& command) {
  const auto parsed = parse(command);
  if (!parsed) return complain(parsed.error());
  Logs logs(bus_options, command, parsed->level);
  if (!logs.reach()) return Exit::no_core;
  std::vector<ReplayTopic> topics;
  std::vector<std::string> names;
  for (const std::string& topic : command.topics) {
    auto log = logs.find(topic);
    if (!log) return complain(log.error());
    names.push_back(log->name);
    topics.push_back({.log = std::move(*log),
                      .from = parsed->from,
                      .to = parsed->to,
                      .filters = command.filters,
                      .snapshot = command.snapshot});
  }
  Progress progress(Progress::choose(command.progress, command.quiet), "events");
  ReplayNotices notices(std::move(names), progress);
  auto opened = Replay::open(std::move(topics),
                             {.speed = parsed->speed,
                              .on_notice = [&](const Notice& notice) { notices.tell(notice); },
                              .merge_delay = std::chrono::nanoseconds(std::llround(command.merge_delay_ms * 1e6))});
  if (!opened) return complain(opened.error());
  catch_interrupts();
  Output out;
  BackOffIdle idle({.spins = 16,
                    .yields = 4,
                    .min_sleep = std::chrono::microseconds(20),
                    .max_sleep = std::chrono::milliseconds(2)});
  const Exit ended = replay_events(**opened, command, idle, progress, out);
  return ended == Exit::ok ? notices.exit() : ended;
}

}  // namespace millrace::cli
