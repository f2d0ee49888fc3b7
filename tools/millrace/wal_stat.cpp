#include "tools/millrace/wal_stat.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include "bus/base/rfc3339.hpp"
#include "bus/log_types.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/json_writer.hpp"
#include "tools/millrace/progress.hpp"
#include "wal/chain.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::cli {
namespace {

struct Files {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;  // that they take on the disk
};

struct TypeCount {
  std::string name;
  std::uint64_t events = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t largest = 0;
};

struct PublisherCount {
  wal::PublisherEntry entry;
  std::uint64_t events = 0;  // in the log now; of `full`
  std::uint64_t missing = 0;
};

struct LogStat {
  std::string folder;
  LogId log_id;
  Files raw, compressed;
  Offset first, end;
  std::optional<WallTime> first_time, last_time;  // of events
  std::vector<std::pair<Run, Offset>> runs;       // and where each began, as far as its segments are there
  std::map<PublisherId, PublisherCount> publishers;
  std::uint64_t torn_bytes = 0;
  std::uint64_t corruptions = 0;
  // Of `full`.
  std::uint64_t batches = 0;
  std::uint64_t frame_bytes = 0;
  std::uint64_t gaps = 0;     // records of them
  std::uint64_t missing = 0;  // events in them
  std::map<EventTypeId, TypeCount> types;
};

std::uint64_t bytes_on_disk(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

std::optional<WallTime> time_of_next(wal::Reader& log, Offset end) {
  for (;;) {
    const auto batch = log.next(end);
    if (!batch && batch.error().code == ErrorCode::corrupt) continue;
    if (!batch || !*batch) return std::nullopt;
    if ((*batch)->kind == wal::BatchKind::events) return (*batch)->record_time;
  }
}

// What the headers, and the newest segment, say.
Result<LogStat> stat_headers(wal::FileSystem& files, const std::string& folder) {
  LogStat stat;
  stat.folder = folder;
  auto log = wal::Reader::open(files, folder);
  if (!log) return fail(log.error());
  const auto state = wal::recover(files, folder);
  if (!state) return fail(state.error());
  stat.log_id = state->log_id;
  stat.first = log->first_offset();
  stat.end = state->end.next_offset;
  stat.torn_bytes = state->report.torn_bytes;
  stat.corruptions = state->report.corruptions.size();
  for (const wal::PublisherEntry& each : state->publishers) stat.publishers[each.id].entry = each;
  const auto links = wal::list_chain(files, folder);
  if (!links) return fail(links.error());
  for (const wal::Link& link : *links) {
    const std::string path = wal::join(folder, wal::to_file_name(link.name));
    Files& kind = ::access(path.c_str(), F_OK) == 0 ? stat.raw : stat.compressed;
    ++kind.count;
    kind.bytes += bytes_on_disk(&kind == &stat.raw ? path : wal::join(folder, wal::to_cold_name(link.name)));
    if (link.header_valid && (stat.runs.empty() || stat.runs.back().first != link.run)) {
      stat.runs.emplace_back(link.run, link.name.first_offset);
    }
  }
  stat.first_time = time_of_next(*log, stat.end);
  if (stat.end > stat.first && log->seek(Offset(stat.end.value() - 1))) stat.last_time = time_of_next(*log, stat.end);
  return stat;
}

void count_frames(const wal::BatchView& batch, LogTypes& types, LogStat& stat) {
  wal::EventCursor events(batch);
  while (const auto event = events.next()) {
    TypeCount& type = stat.types[event->frame.event_type()];
    if (type.name.empty()) {
      const auto* known = types.find(event->frame.event_type(), event->offset);
      type.name = known != nullptr ? std::string(known->name()) : "unknown";
    }
    const std::size_t payload = event->frame.payload().size();
    ++type.events;
    type.payload_bytes += payload;
    type.largest = std::max<std::uint64_t>(type.largest, payload);
    stat.frame_bytes += event->frame.size();
  }
  stat.publishers[batch.publisher].events += batch.count;
}

// What every batch says; corruption is said on standard error.
Status stat_batches(wal::Reader& log, const StatOptions& options, LogStat& stat) {
  LogTypes types(stat.folder, options.choice.root);
  Progress progress(Progress::choose(options.progress, false), "events");
  stat.corruptions = 0;
  while (!interrupted()) {
    const auto batch = log.next(stat.end.next());  // a gap may stand behind the last event
    if (!batch && batch.error().code == ErrorCode::corrupt) {
      progress.clear();
      ++stat.corruptions;
      static_cast<void>(complain(batch.error()));
      continue;
    }
    if (!batch) return fail(batch.error());
    if (!*batch) break;
    const wal::BatchView& view = **batch;
    if (view.kind == wal::BatchKind::events && view.first_offset >= stat.end) break;  // came since
    ++stat.batches;
    if (view.kind == wal::BatchKind::gap) {
      const std::uint64_t missing = view.gap().to - view.gap().from + 1;
      ++stat.gaps;
      stat.missing += missing;
      stat.publishers[view.publisher].missing += missing;
    } else if (view.kind == wal::BatchKind::events) {
      count_frames(view, types, stat);
    }
    if (progress.due()) {
      progress.show({.done = log.position() - stat.first, .total = stat.end - stat.first});
    }
  }
  progress.clear();
  return {};
}

// Events a second between the first and the last; 0 where that is no time.
double rate_of(const LogStat& stat) {
  if (!stat.first_time || !stat.last_time || *stat.last_time <= *stat.first_time) return 0;
  return static_cast<double>(stat.end - stat.first) /
         (static_cast<double>((*stat.last_time - *stat.first_time).count()) / 1e9);
}

std::string text_of(const std::optional<WallTime>& time) {
  std::string text;
  if (time) append_rfc3339(*time, text);
  return text;
}

void append_json(const LogStat& stat, bool full, std::string& out) {
  JsonWriter json(out);
  const auto files = [&](std::string_view name, const Files& of) {
    json.name(name).open('{').field("count", of.count).field("bytes", of.bytes).close('}');
  };
  json.open('{').field("folder", stat.folder).field("log_id", to_hex(stat.log_id.bytes));
  json.name("segments").open('{');
  files("raw", stat.raw);
  files("compressed", stat.compressed);
  json.close('}');
  json.field("first_offset", stat.first.value()).field("end_offset", stat.end.value());
  json.field("events", stat.end - stat.first);
  if (stat.first_time) json.field("first_time", text_of(stat.first_time));
  if (stat.last_time) json.field("last_time", text_of(stat.last_time));
  json.field("events_per_second", rate_of(stat)).field("torn_bytes", stat.torn_bytes);
  json.field("corruptions", stat.corruptions).name("runs").open('[');
  for (const auto& [run, begin] : stat.runs) {
    json.open('{').field("run", run.value()).field("first_offset", begin.value()).close('}');
  }
  json.close(']').name("publishers").open('[');
  for (const auto& [id, each] : stat.publishers) {
    json.open('{').field("id", id.value()).field("name", each.entry.name).field("epoch", each.entry.epoch.value());
    json.field("last_sequence", each.entry.last_sequence.value());
    if (full) json.field("events", each.events).field("missing", each.missing);
    json.close('}');
  }
  json.close(']');
  if (full) {
    json.field("batches", stat.batches).field("frame_bytes", stat.frame_bytes).field("gaps", stat.gaps);
    json.field("missing", stat.missing).name("types").open('[');
    for (const auto& [id, type] : stat.types) {
      json.open('{').field("event_type", static_cast<unsigned>(id)).field("name", type.name);
      json.field("events", type.events).field("payload_bytes", type.payload_bytes).field("largest", type.largest);
      json.close('}');
    }
    json.close(']');
  }
  json.close('}');
  out += '\n';
}

[[gnu::format(printf, 2, 3)]] void append(std::string& out, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out += line;
}

unsigned long long number(std::uint64_t value) {
  return value;
}

void append_text(const LogStat& stat, bool full, std::string& out) {
  append(out, "log        %s, in ", to_hex(stat.log_id.bytes).c_str());
  out += stat.folder + '\n';
  append(out, "segments   %llu, %.1f MB", number(stat.raw.count), static_cast<double>(stat.raw.bytes) / 1e6);
  if (stat.compressed.count > 0) {
    append(out, "; %llu compressed, %.1f MB", number(stat.compressed.count),
           static_cast<double>(stat.compressed.bytes) / 1e6);
  }
  append(out, "\noffsets    %llu to before %llu: %llu events", number(stat.first.value()), number(stat.end.value()),
         number(stat.end - stat.first));
  if (full) append(out, " in %llu batches, %.1f MB", number(stat.batches), static_cast<double>(stat.frame_bytes) / 1e6);
  out += '\n';
  if (stat.first_time && stat.last_time) {
    append(out, "times      %s to %s, %.1f events/s\n", text_of(stat.first_time).c_str(),
           text_of(stat.last_time).c_str(), rate_of(stat));
  }
  for (const auto& [run, begin] : stat.runs) {
    append(out, "run        %llu, from offset %llu\n", number(run.value()), number(begin.value()));
  }
  for (const auto& [id, each] : stat.publishers) {
    append(out, "publisher  %llu '%s': epoch %llu, last sequence %llu", number(id.value()), each.entry.name.c_str(),
           number(each.entry.epoch.value()), number(each.entry.last_sequence.value()));
    if (full) append(out, ", %llu events here, %llu never recorded", number(each.events), number(each.missing));
    out += '\n';
  }
  for (const auto& [id, type] : stat.types) {
    append(out, "type       %u %s: %llu events, %.1f bytes each, at most %llu\n", static_cast<unsigned>(id),
           type.name.c_str(), number(type.events),
           static_cast<double>(type.payload_bytes) / static_cast<double>(type.events), number(type.largest));
  }
  if (full) append(out, "gaps       %llu, of %llu events\n", number(stat.gaps), number(stat.missing));
  if (stat.torn_bytes > 0)
    append(out, "torn       %llu bytes at the end, not part of the log\n", number(stat.torn_bytes));
  if (stat.corruptions > 0) {
    append(out, "CORRUPT    in %llu places%s; millrace wal verify names them\n", number(stat.corruptions),
           full ? "" : " of the newest segment");
  }
}

}  // namespace

Exit wal_stat(const StatOptions& options, Output& out) {
  const auto folder = find_log(options.choice);
  if (!folder) return complain(folder.error());
  auto stat = stat_headers(wal::posix_file_system(), *folder);
  if (!stat) return complain(stat.error());
  if (options.full) {
    auto log = wal::Reader::open(wal::posix_file_system(), *folder);
    if (!log) return complain(log.error());
    if (const Status read = stat_batches(*log, options, *stat); !read) return complain(read.error());
  }
  if (!interrupted()) (options.json ? append_json : append_text)(*stat, options.full, out.text());
  return out.finish(stat->corruptions == 0 ? Exit::ok : Exit::failed);
}

}  // namespace millrace::cli
