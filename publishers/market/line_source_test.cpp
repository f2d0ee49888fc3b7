// Proves that lines come out of plain, gzip and zstandard files alike, and that a damaged file is an error that names
// file and line, never a shorter file.
#include "publishers/market/line_source.hpp"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "publishers/market/testing.hpp"

namespace millrace::market {
namespace {

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(compressBound(text.size()) + 64, '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

// The lines, and the message of the error that ended them, if any.
struct Outcome {
  std::vector<std::string> lines;
  std::string error;
};
Outcome read(const std::string& path) {
  Outcome outcome;
  auto source = LineSource::open(path);
  if (!source) return {{}, source.error().message};
  while (true) {
    const auto line = source->next();
    if (!line) return outcome.error = line.error().message, outcome;
    if (!*line) return outcome;
    outcome.lines.emplace_back(**line);
  }
}

std::string many_lines() {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "line " + std::to_string(i * 7919 % 100'003) + "\n";
  return text;
}

TEST(LineSource, PlainGzipAndZstandardGiveTheSameLines) {
  const std::string text = "one\n\nthree\r\nlast without end";
  const std::vector<std::string> wanted{"one", "", "three", "last without end"};
  for (const auto& [name, bytes] :
       {std::pair<std::string, std::string>{"a.txt", text}, {"a.gz", gzip(text)}, {"a.zst", zstd(text)}}) {
    const TestFile file(name, bytes);
    const auto outcome = read(file.path());
    EXPECT_EQ(outcome.lines, wanted) << name;
    EXPECT_EQ(outcome.error, "") << name;
  }
}

TEST(LineSource, ManyLinesCrossTheBufferWhole) {
  const auto text = many_lines();
  for (const auto& [name, bytes] :
       {std::pair<std::string, std::string>{"a.txt", text}, {"a.gz", gzip(text)}, {"a.zst", zstd(text)}}) {
    const TestFile file(name, bytes);
    const auto outcome = read(file.path());
    ASSERT_EQ(outcome.lines.size(), 100'000U) << name << outcome.error;
    std::string joined;
    for (const auto& line : outcome.lines) joined += line + "\n";
    EXPECT_TRUE(joined == text) << name;
  }
}

TEST(LineSource, AnEmptyFileHasNoLines) {
  const TestFile file("a.txt", "");
  const auto outcome = read(file.path());
  EXPECT_TRUE(outcome.lines.empty());
  EXPECT_EQ(outcome.error, "");
}

TEST(LineSource, ACompressedFileThatBreaksOffIsAnErrorNamingFileAndLine) {
  const auto text = many_lines();
  for (const auto& [name, bytes] : {std::pair<std::string, std::string>{"a.gz", gzip(text)}, {"a.zst", zstd(text)}}) {
    const TestFile file(name, bytes.substr(0, bytes.size() - 20));
    const auto outcome = read(file.path());
    EXPECT_LT(outcome.lines.size(), 100'000U) << name;
    const auto where = file.path() + ":" + std::to_string(outcome.lines.size() + 1) + ": ";
    EXPECT_TRUE(outcome.error.starts_with(where)) << outcome.error;
    EXPECT_NE(outcome.error.find("breaks off"), std::string::npos) << outcome.error;
  }
}

TEST(LineSource, AFileThatIsNotWhatItsNameSaysIsAnError) {
  const TestFile gz("a.gz", "plain text\n");
  EXPECT_NE(read(gz.path()).error.find("is not gzip"), std::string::npos);
  const TestFile zst("a.zst", "plain text\n");
  EXPECT_NE(read(zst.path()).error.find("damaged"), std::string::npos);
}

TEST(LineSource, AMissingFileIsNamed) {
  EXPECT_NE(read("/nowhere/a.gz").error.find("/nowhere/a.gz"), std::string::npos);
}

TEST(LineSource, ALineWithoutEndIsRefused) {
  const TestFile file("a.txt", "short\n" + std::string(kLineBytesMax + (1 << 20), 'x'));
  const auto outcome = read(file.path());
  EXPECT_EQ(outcome.lines.size(), 1U);
  EXPECT_NE(outcome.error.find(":2: the line is longer than"), std::string::npos) << outcome.error;
}

}  // namespace
}  // namespace millrace::market
