#include "wal/care.hpp"

#include <algorithm>

#include "wal/cold.hpp"
#include "wal/seals.hpp"

namespace millrace::wal {

CareSet care_done(const CareOf& of, const std::vector<std::string>& names) {
  const auto there = [&](const std::string& name) { return std::binary_search(names.begin(), names.end(), name); };
  CareSet done;
  const auto seal = there(to_seal_name(of.name)) ? read_seal(*of.files, of.folder, of.name) : std::nullopt;
  done[index_of(Care::seal)] = seal && seal->end == of.end && seal->log_id == of.log_id.bytes;
  done[index_of(Care::compress)] = there(to_cold_name(of.name)) && !there(to_file_name(of.name));
  return done;
}

std::unique_ptr<CareWork> begin_care(Care care, const CareOf& of) {
  switch (care) {
    case Care::seal:
      return begin_seal(of);
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
