#include "tools/millrace/wal_retain.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "bus/daemon/config.hpp"
#include "wal/chain.hpp"
#include "wal/checkpoints.hpp"
#include "wal/cold.hpp"
#include "wal/retention.hpp"

namespace millrace::cli {
namespace {

Result<daemon::TopicConfig> policy_of(const std::string& folder, const std::string& path) {
  const auto config = path.empty() ? Result<daemon::Config>(daemon::default_config()) : daemon::load_config(path);
  if (!config) return fail(config.error());
  const std::string name = std::filesystem::weakly_canonical(folder).filename().string();
  for (const daemon::TopicConfig& topic : config->topics) {
    if (topic.name == name) return topic;
  }
  return fail(ErrorCode::not_found, "the configuration has no topic '" + name + "', so there is no policy for " +
                                        folder + "; give the core's with --config");
}

Result<std::uint64_t> bytes_of(wal::FileSystem& files, const std::string& folder, const wal::Link& link,
                               std::uint64_t segment_size) {
  auto file = files.open(wal::join(folder, wal::to_file_name(link.name)), wal::OpenMode::read);
  if (file) return link.end.value_or(segment_size);
  file = files.open(wal::join(folder, wal::to_cold_name(link.name)), wal::OpenMode::read);
  if (!file) return fail(file.error());
  return (*file)->size();
}

// As the core's recorder sees them.
struct Log {
  std::vector<wal::SegmentFacts> sealed;
  wal::RetentionFacts facts;
  wal::SegmentName open;
};
Result<Log> look(wal::FileSystem& files, const std::string& folder, const daemon::TopicConfig& policy) {
  const auto links = wal::list_chain(files, folder);
  if (!links) return fail(links.error());
  if (links->empty()) return fail(ErrorCode::not_found, "there is no log in " + folder);
  Log log;
  log.open = links->back().name;
  log.facts.bytes = policy.log.segment_size;
  LogId log_id;
  for (std::size_t i = 0; i < links->size(); ++i) {
    const wal::Link& link = (*links)[i];
    if (link.header_valid) log_id = link.log_id;
    if (i + 1 == links->size()) break;
    const wal::Link& next = (*links)[i + 1];
    const auto bytes = bytes_of(files, folder, link, policy.log.segment_size);
    if (!bytes) return fail(bytes.error());
    log.sealed.push_back({link.name, next.name.first_offset, WallTime{next.created}, *bytes});
    log.facts.bytes += *bytes;
  }
  const auto space = files.space(folder);
  if (space) log.facts.free_bytes = space->free;
  if (!policy.retention_consumers) return log;
  const auto consumers = wal::Checkpoints::look(files, folder, log_id);
  if (!consumers) return fail(consumers.error());
  for (const wal::ConsumerRecord& consumer : *consumers) {
    log.facts.needed = std::min(log.facts.needed.value_or(consumer.acked), consumer.acked);
  }
  return log;
}

}  // namespace

Exit wal_retain(const RetainOptions& options, Output& out, WallTime now, wal::FileSystem& files) {
  if (!options.dry_run) {
    return complain({ErrorCode::invalid_argument,
                     "the core deletes, by its configuration; this only shows what it would: give --dry-run"});
  }
  const auto folder = find_log(options.choice);
  if (!folder) return complain(folder.error());
  const auto policy = policy_of(*folder, options.choice.config);
  if (!policy) return complain(policy.error());
  const auto log = look(files, *folder, *policy);
  if (!log) return complain(log.error());
  const auto space = files.space(*folder);

  wal::RetentionLimits limits;
  limits.free_floor = policy->free_space_floor.value_or(space ? wal::usual_floor(space->total) : 0);
  if (policy->retention_bytes > 0) limits.bytes_max = policy->retention_bytes;
  if (policy->retention_age.count() > 0) limits.oldest = WallTime{now.ns - policy->retention_age.count()};
  const auto verdicts = wal::judge_all(log->sealed, log->facts, limits);
  std::uint64_t deleted = 0, bytes = 0;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const wal::SegmentFacts& segment = log->sealed[i];
    char line[200];
    std::snprintf(line, sizeof line, "%s  offsets %llu to %llu  %llu bytes  %s\n",
                  wal::to_file_name(segment.name).c_str(),
                  static_cast<unsigned long long>(segment.name.first_offset.value()),
                  static_cast<unsigned long long>(segment.end.value()), static_cast<unsigned long long>(segment.bytes),
                  wal::to_text(verdicts[i]));
    out.text() += line;
    if (!out.flush_if_large()) break;
    if (!wal::is_deleted(verdicts[i])) continue;
    ++deleted;
    bytes += segment.bytes;
  }
  out.text() += wal::to_file_name(log->open) + "  offsets from " + std::to_string(log->open.first_offset.value()) +
                "  kept: it is being written\n" + std::to_string(deleted) + " of " +
                std::to_string(verdicts.size() + 1) + " segments would be deleted, " + std::to_string(bytes) + " of " +
                std::to_string(log->facts.bytes) + " bytes\n";
  return out.finish(Exit::ok);
}

}  // namespace millrace::cli
