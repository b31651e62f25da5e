# Small things with files, text and JSON.
.class public final Lapp/edgelm/Files;
.super Ljava/lang/Object;
.source "Files.smali"

# All of a stream as UTF-8 text; the stream is closed.
.method static text(Ljava/io/InputStream;)Ljava/lang/String;
    .locals 4
    .annotation system Ldalvik/annotation/Throws;
        value = { Ljava/io/IOException; }
    .end annotation

    new-instance v0, Ljava/io/ByteArrayOutputStream;
    invoke-direct {v0}, Ljava/io/ByteArrayOutputStream;-><init>()V
    const/16 v1, 0x2000
    new-array v1, v1, [B

    :try_start
    :next
    invoke-virtual {p0, v1}, Ljava/io/InputStream;->read([B)I
    move-result v2
    if-ltz v2, :end
    const/4 v3, 0x0
    invoke-virtual {v0, v1, v3, v2}, Ljava/io/ByteArrayOutputStream;->write([BII)V
    goto :next
    :try_end
    .catchall {:try_start .. :try_end} :close

    :end
    invoke-virtual {p0}, Ljava/io/InputStream;->close()V
    const-string v1, "UTF-8"
    invoke-virtual {v0, v1}, Ljava/io/ByteArrayOutputStream;->toString(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v0
    return-object v0

    :close
    move-exception v0
    invoke-virtual {p0}, Ljava/io/InputStream;->close()V
    throw v0
.end method

# The last 2,000 bytes of a file as text; empty if it cannot be read.
.method static tail(Ljava/io/File;)Ljava/lang/String;
    .locals 6

    :try_start
    new-instance v0, Ljava/io/FileInputStream;
    invoke-direct {v0, p0}, Ljava/io/FileInputStream;-><init>(Ljava/io/File;)V
    invoke-virtual {p0}, Ljava/io/File;->length()J
    move-result-wide v1
    const-wide/16 v3, 0x7d0
    sub-long/2addr v1, v3
    const-wide/16 v3, 0x0
    cmp-long v5, v1, v3
    if-lez v5, :whole
    invoke-virtual {v0, v1, v2}, Ljava/io/FileInputStream;->skip(J)J
    :whole
    invoke-static {v0}, Lapp/edgelm/Files;->text(Ljava/io/InputStream;)Ljava/lang/String;
    move-result-object v0
    :try_end
    .catch Ljava/io/IOException; {:try_start .. :try_end} :unreadable
    return-object v0

    :unreadable
    move-exception v0
    const-string v0, ""
    return-object v0
.end method

# Write a text file: under another name first, then renamed.
.method static write(Ljava/io/File;Ljava/lang/String;)V
    .locals 4
    .annotation system Ldalvik/annotation/Throws;
        value = { Ljava/io/IOException; }
    .end annotation

    new-instance v0, Ljava/io/File;
    invoke-virtual {p0}, Ljava/io/File;->getPath()Ljava/lang/String;
    move-result-object v1
    const-string v2, ".partial"
    invoke-virtual {v1, v2}, Ljava/lang/String;->concat(Ljava/lang/String;)Ljava/lang/String;
    move-result-object v1
    invoke-direct {v0, v1}, Ljava/io/File;-><init>(Ljava/lang/String;)V
    new-instance v1, Ljava/io/FileOutputStream;
    invoke-direct {v1, v0}, Ljava/io/FileOutputStream;-><init>(Ljava/io/File;)V

    :try_start
    const-string v2, "UTF-8"
    invoke-virtual {p1, v2}, Ljava/lang/String;->getBytes(Ljava/lang/String;)[B
    move-result-object v2
    invoke-virtual {v1, v2}, Ljava/io/FileOutputStream;->write([B)V
    invoke-virtual {v1}, Ljava/io/FileOutputStream;->getFD()Ljava/io/FileDescriptor;
    move-result-object v2
    invoke-virtual {v2}, Ljava/io/FileDescriptor;->sync()V
    :try_end
    .catchall {:try_start .. :try_end} :close
    invoke-virtual {v1}, Ljava/io/FileOutputStream;->close()V

    invoke-virtual {v0, p0}, Ljava/io/File;->renameTo(Ljava/io/File;)Z
    move-result v1
    if-nez v1, :renamed
    new-instance v1, Ljava/io/IOException;
    const-string v2, "it could not be renamed"
    invoke-direct {v1, v2}, Ljava/io/IOException;-><init>(Ljava/lang/String;)V
    throw v1

    :renamed
    return-void

    :close
    move-exception v3
    invoke-virtual {v1}, Ljava/io/FileOutputStream;->close()V
    throw v3
.end method

# Bytes as hexadecimal digits: the number behind a leading 1, which keeps the zeros in front, without that 1.
.method static hex([B)Ljava/lang/String;
    .locals 3

    new-instance v0, Ljava/math/BigInteger;
    const/4 v1, 0x1
    invoke-direct {v0, v1, p0}, Ljava/math/BigInteger;-><init>(I[B)V
    array-length v2, p0
    mul-int/lit8 v2, v2, 0x8
    invoke-virtual {v0, v2}, Ljava/math/BigInteger;->setBit(I)Ljava/math/BigInteger;
    move-result-object v0
    const/16 v2, 0x10
    invoke-virtual {v0, v2}, Ljava/math/BigInteger;->toString(I)Ljava/lang/String;
    move-result-object v0
    invoke-virtual {v0, v1}, Ljava/lang/String;->substring(I)Ljava/lang/String;
    move-result-object v0
    return-object v0
.end method

# Put {"name": value} into the page's queue.
.method static tell(Ljava/util/Queue;Ljava/lang/String;Lorg/json/JSONObject;)V
    .locals 1
    .annotation system Ldalvik/annotation/Throws;
        value = { Lorg/json/JSONException; }
    .end annotation

    new-instance v0, Lorg/json/JSONObject;
    invoke-direct {v0}, Lorg/json/JSONObject;-><init>()V
    invoke-virtual {v0, p1, p2}, Lorg/json/JSONObject;->put(Ljava/lang/String;Ljava/lang/Object;)Lorg/json/JSONObject;
    invoke-virtual {v0}, Lorg/json/JSONObject;->toString()Ljava/lang/String;
    move-result-object v0
    invoke-interface {p0, v0}, Ljava/util/Queue;->add(Ljava/lang/Object;)Z
    return-void
.end method
