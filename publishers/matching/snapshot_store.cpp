#include "publishers/matching/snapshot_store.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

namespace millrace::matching {
namespace {

constexpr std::string_view kSuffix = ".snapshot";
constexpr std::string_view kWrittenAside = ".snapshot.new";

// Names sort as their offsets do.
std::string name_of(Offset input) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%020llu", static_cast<unsigned long long>(input.value()));
  return digits.data() + std::string(kSuffix);
}

Error ahead(std::size_t topic, Sequence named, Sequence recorded) {
  return {ErrorCode::sequence_error, std::string("it names event ") + std::to_string(named.value()) + " of " +
                                         kOutputTopicNames[topic] + ", of which the log has only " +
                                         std::to_string(recorded.value())};
}

std::optional<Error> check_recorded(const Snapshot& snapshot, const OutputSequences& recorded) {
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    if (snapshot.outputs[i] > recorded[i]) return ahead(i, snapshot.outputs[i], recorded[i]);
  }
  return std::nullopt;
}

}  // namespace

Result<SnapshotStore> SnapshotStore::open(wal::FileSystem& files, std::string folder) {
  MILLRACE_TRY(wal::make_folders(files, folder));
  return SnapshotStore(files, std::move(folder));
}

Result<Snapshot> SnapshotStore::read(const std::string& name) const {
  const auto file = files_->open(wal::join(folder_, name), wal::OpenMode::read);
  if (!file) return fail(file.error());
  const auto size = (*file)->size();
  if (!size) return fail(size.error());
  std::vector<std::byte> bytes(*size);
  const auto count = (*file)->pread(bytes, 0);
  if (!count) return fail(count.error());
  return decode(std::span(bytes).first(*count));
}

Result<std::optional<Snapshot>> SnapshotStore::newest(const OutputSequences& recorded, const OnRejected& on_rejected) {
  auto names = files_->list(folder_);
  if (!names) return fail(names.error());
  std::reverse(names->begin(), names->end());
  for (const auto& name : *names) {
    if (!name.ends_with(kSuffix)) continue;
    auto snapshot = read(name);
    auto why = snapshot ? check_recorded(*snapshot, recorded) : std::optional(snapshot.error());
    if (!why) {
      good_ = name;
      return std::move(*snapshot);
    }
    on_rejected(wal::join(folder_, name), *why);
  }
  return std::nullopt;
}

Status SnapshotStore::write(Offset input, std::span<const std::byte> bytes) {
  const auto name = name_of(input);
  const auto aside = wal::join(folder_, name.substr(0, name.size() - kSuffix.size()) + std::string(kWrittenAside));
  {
    auto file = files_->create(aside);
    if (!file) return fail(file.error());
    MILLRACE_TRY(wal::write_all(**file, bytes, {}, 0));
    MILLRACE_TRY((*file)->sync());
  }
  MILLRACE_TRY(files_->rename(aside, wal::join(folder_, name)));
  MILLRACE_TRY(files_->sync_folder(folder_));
  remove_others(name);
  good_ = name;
  return {};
}

void SnapshotStore::remove_others(const std::string& newest) {
  const auto names = files_->list(folder_);
  if (!names) return;
  for (const auto& name : *names) {
    const bool ours = name.ends_with(kSuffix) || name.ends_with(kWrittenAside);
    if (ours && name != newest && name != good_) (void)files_->unlink(wal::join(folder_, name));
  }
}

}  // namespace millrace::matching
