#include "publishers/matching/snapshot_store.hpp"

namespace millrace::matching {
namespace {

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
  auto opened = wal::SnapshotFolder::open(files, std::move(folder));
  if (!opened) return fail(opened.error());
  return SnapshotStore(std::move(*opened));
}

Result<std::optional<Snapshot>> SnapshotStore::newest(const OutputSequences& recorded, const OnRejected& on_rejected) {
  std::optional<Snapshot> found;
  const auto take = [&](std::span<const std::byte> bytes) -> Status {
    auto snapshot = decode(bytes);
    if (!snapshot) return fail(snapshot.error());
    if (auto why = check_recorded(*snapshot, recorded)) return fail(*why);
    found = std::move(*snapshot);
    return {};
  };
  const auto any = folder_.newest(take, on_rejected);
  if (!any) return fail(any.error());
  return found;
}

}  // namespace millrace::matching
