#pragma once
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/ids.hpp"
#include "wal/file_system.hpp"
namespace millrace::wal {
struct Located {
  enum class Kind { recorded, gap, not_there_yet, superseded, deleted } kind;
  Offset offset;
  Epoch epoch;
};
Result<Located> locate(FileSystem&, const std::string& folder, PublisherId, Epoch, Sequence);
struct LastEvent {
  Offset offset;
  Sequence sequence;
  Epoch epoch;
  WallTime record_time;
  std::vector<std::byte> frame;
};
Result<std::optional<LastEvent>> last_event(FileSystem&, const std::string& folder, PublisherId);
}  // namespace millrace::wal
