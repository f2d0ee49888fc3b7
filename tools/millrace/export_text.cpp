#include <algorithm>
#include <charconv>
#include <map>

#include "bus/base/rfc3339.hpp"
#include "tools/millrace/event_line.hpp"
#include "tools/millrace/export_rows.hpp"

namespace millrace::cli {
namespace {

constexpr std::size_t chunk = 1 << 20;

Status flush(PartialFile& file, std::string& text, std::size_t above) {
  if (text.size() <= above) return {};
  const Status written = file.write(text);
  text.clear();
  return written;
}

class NdjsonWriter final : public RowWriter {
 public:
  explicit NdjsonWriter(PartialFile& file) : file_(file) {}

  Status take(const Event& event, const schemas::EventType& type) override {
    append_event_line(event, &type, text_);
    return flush(file_, text_, chunk);
  }
  Status finish() override { return flush(file_, text_, 0); }

 private:
  PartialFile& file_;
  std::string text_;
};

void append_number(std::uint64_t value, std::string& out) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

class CsvWriter final : public RowWriter {
 public:
  CsvWriter(PartialFile& file, LogTypes& types, std::optional<EventTypeId> type) : file_(file), types_(types) {
    if (type) begin(*type);
  }

  Status take(const Event& event, const schemas::EventType& type) override {
    if (&type != type_) MILLRACE_TRY(turn_to(type));
    append_number(event.offset->value(), text_);
    text_ += ',';
    append_rfc3339(event.record_time, text_);
    text_ += ',';
    append_number(event.publisher.value(), text_);
    text_ += ',';
    append_number(event.sequence().value(), text_);
    text_ += ',';
    if (version_->places.empty()) {
      version_->flat.append_csv(event.payload(), text_);
    } else {
      append_placed(event.payload());
    }
    text_ += '\n';
    return flush(file_, text_, chunk);
  }
  Status finish() override { return flush(file_, text_, 0); }

 private:
  struct Version {
    schemas::FlatType flat;
    std::vector<std::size_t> places;  // of its columns among all; empty: the same
  };

  // Goes on with another schema of the same type.
  Status turn_to(const schemas::EventType& type) {
    if (id_ != type.id()) {
      return fail(ErrorCode::unsupported,
                  "the log has events of two types, a CSV file has one: " + std::string(type.name()) +
                      " is not its first one's; take --format sqlite");
    }
    const auto version = versions_.find(&type);
    if (version == versions_.end()) {
      return fail(ErrorCode::not_found, "the log's folder holds older schemas of " + std::string(type.name()) +
                                            ", but not the one that its newest events were written by (" +
                                            std::string(type.name()) + ".bfbs): restore it from a copy");
    }
    type_ = &type;
    version_ = &version->second;
    return {};
  }

  void begin(EventTypeId id) {
    id_ = id;
    const auto all = types_.all(id);
    for (auto type = all.rbegin(); type != all.rend(); ++type) {
      Version& version = versions_.try_emplace(*type, Version{schemas::FlatType(**type), {}}).first->second;
      for (const schemas::FlatColumn& column : version.flat.columns()) {
        const auto place = std::ranges::find(columns_, column.name) - columns_.begin();
        if (place == std::ssize(columns_)) columns_.push_back(column.name);
        version.places.push_back(static_cast<std::size_t>(place));
      }
    }
    for (auto& [type, version] : versions_) {
      bool same = version.places.size() == columns_.size();
      for (std::size_t i = 0; same && i < columns_.size(); ++i) same = version.places[i] == i;
      if (same) version.places.clear();
    }
    fields_.resize(columns_.size());
    for (const char* const name : place_names) text_ += place_name(name, columns_) + ',';
    for (const std::string& column : columns_) {
      schemas::append_csv_text(column, text_);
      text_ += &column == &columns_.back() ? '\n' : ',';
    }
  }

  void append_placed(std::span<const std::byte> payload) {
    for (std::string& field : fields_) field.clear();
    std::size_t i = 0;
    version_->flat.visit(payload, [&](const schemas::FlatColumn&, const schemas::FlatValue& value) {
      schemas::append_csv_value(value, fields_[version_->places[i++]]);
    });
    for (const std::string& field : fields_) {
      if (&field != fields_.data()) text_ += ',';
      text_ += field;
    }
  }

  PartialFile& file_;
  LogTypes& types_;
  EventTypeId id_{};
  std::map<const schemas::EventType*, Version> versions_;
  std::vector<std::string> columns_;
  std::vector<std::string> fields_;
  const schemas::EventType* type_ = nullptr;  // of the last event
  Version* version_ = nullptr;                // its
  std::string text_;
};

}  // namespace

std::unique_ptr<RowWriter> make_ndjson_writer(PartialFile& file) {
  return std::make_unique<NdjsonWriter>(file);
}

std::unique_ptr<RowWriter> make_csv_writer(PartialFile& file, LogTypes& types, std::optional<EventTypeId> type) {
  return std::make_unique<CsvWriter>(file, types, type);
}

}  // namespace millrace::cli
