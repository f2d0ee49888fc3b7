#include "wal/care.hpp"

#include <algorithm>

#include "wal/cold.hpp"
#include "wal/seals.hpp"

namespace millrace::wal {
namespace {

class KeysWork final : public CareWork {
 public:
  explicit KeysWork(CareOf of) : of_(std::move(of)) {}

  Result<CareStep> step() override {
    if (!segment_) {
      if (read_key_index(*of_.files, of_.folder, of_.name, of_.log_id, of_.end, of_.keys->fingerprint)) {
        return CareStep{.done = true, .bytes = {}};
      }
      auto segment = SegmentReader::open(*of_.files, of_.folder, of_.name, ReadMode::pread);
      if (!segment) return fail(segment.error());
      segment_.emplace(std::move(*segment));
      scan_.emplace(*segment_, *of_.keys, Bound{of_.end, of_.next_offset}, of_.next_offset);
    }
    const auto more = scan_->go_on(care_step_bytes);
    // What cannot be read is told by who keeps the log and by who reads it, and is not worth another try.
    if (!more && more.error().code == ErrorCode::corrupt) return CareStep{.done = true, .bytes = {}};
    if (!more) return fail(more.error());
    if (*more) return CareStep{};
    const Status written = write_key_index(*of_.files, of_.folder, *scan_);
    if (!written && written.error().code != ErrorCode::corrupt) return fail(written.error());
    return CareStep{.done = true, .bytes = {}};
  }

 private:
  CareOf of_;
  std::optional<SegmentReader> segment_;
  std::optional<KeyScan> scan_;
};

}  // namespace

CareSet care_done(const CareOf& of, const std::vector<std::string>& names) {
  const auto there = [&](const std::string& name) { return std::binary_search(names.begin(), names.end(), name); };
  CareSet done;  // of keys never: the first step looks whether there is a good file
  const auto seal = there(to_seal_name(of.name)) ? read_seal(*of.files, of.folder, of.name) : std::nullopt;
  done[index_of(Care::seal)] = seal && seal->end == of.end && seal->log_id == of.log_id.bytes;
  done[index_of(Care::compress)] = there(to_cold_name(of.name)) && !there(to_file_name(of.name));
  return done;
}

std::unique_ptr<CareWork> begin_care(Care care, const CareOf& of) {
  switch (care) {
    case Care::seal:
      return begin_seal(of);
    case Care::keys:
      return std::make_unique<KeysWork>(of);
    case Care::compress:
      return begin_compression(of, compression_level);
  }
  return nullptr;
}

Status CareTicket::run() {
  const auto made = work_->step();
  if (!made) return fail(made.error());
  made_ = *made;
  return {};
}

}  // namespace millrace::wal
