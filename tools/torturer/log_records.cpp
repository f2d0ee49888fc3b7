#include "tools/torturer/log_records.hpp"

#include <flatbuffers/flatbuffers.h>

#include "schemas/registry.hpp"
#include "tools/torturer/stamp.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::torture {

Result<std::vector<Record>> records_of_log(const std::string& folder) {
  auto reader = wal::Reader::open(wal::posix_file_system(), folder);
  if (!reader) return fail(reader.error());
  const schemas::Registry registry = schemas::Registry::built_in();
  const schemas::EventType& type = *registry.find(topic_name);
  std::vector<Record> records;
  Runs runs;
  const auto keep = [&](const std::optional<Record>& run) {
    if (run) records.push_back(*run);
  };
  for (;;) {
    const auto batch = reader->next();
    if (!batch) return fail(batch.error());
    if (!*batch) break;
    wal::EventCursor cursor(**batch);
    while (const auto event = cursor.next()) {
      const auto stamp = type.verify(event->frame.payload())
                             ? read_stamp(*flatbuffers::GetRoot<schemas::TradeEvent>(event->frame.payload().data()),
                                          (*batch)->publisher, event->frame.sequence())
                             : std::nullopt;
      if (stamp) {
        keep(runs.add({stamp->slot, stamp->life, stamp->base(), stamp->sequence, event->offset.value()}));
        continue;
      }
      keep(runs.take());
      records.push_back({Kind::damaged, 0, 0, 0, event->frame.sequence().value(), event->offset.value(), 1, 0});
    }
  }
  keep(runs.take());
  return records;
}

}  // namespace millrace::torture
